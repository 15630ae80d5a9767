// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/evidence/name.h"

namespace cs::tpm {

Name name_of(const PublicArea& area) {
  return Name::of(Hasher(area.name_algorithm).hash({area.encode()}));
}

Name name_of(const NvPublic& area) {
  return Name::of(Hasher(area.name_algorithm).hash({area.encode()}));
}

Name qualified_name(const PublicArea& area, const Name& parent) {
  return Name::of(Hasher(area.name_algorithm).hash({parent.bytes, name_of(area).bytes}));
}

}  // namespace cs::tpm
