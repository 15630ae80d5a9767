// SPDX-License-Identifier: GPL-3.0-or-later
// Names, recomputed by who will not take the TPM's word, or anybody's, for them.
#pragma once

#include "tpm/evidence/public_area.h"

namespace cs::tpm {

[[nodiscard]] Name name_of(const PublicArea& area);
[[nodiscard]] Name name_of(const NvPublic& area);

// A key's Name together with those of all its parents, as attestations tell it. The parent of a
// primary key is Name::of_handle(its hierarchy).
[[nodiscard]] Name qualified_name(const PublicArea& area, const Name& parent);

}  // namespace cs::tpm
