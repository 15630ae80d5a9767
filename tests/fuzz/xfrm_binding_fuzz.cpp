// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's answer about an SA, as the one place reads it that looks at keys.
#include <array>

#include "tests/fuzz/fuzz.h"
#include "xfrm/binding.h"
#include "xfrm/state/message.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cs::ByteView payload(data, size);
  const std::array<std::uint8_t, 4> session{1, 2, 3, 4};
  const auto bound = cs::xfrm::binding_of(payload, session, cs::xfrm::Sense::to_responder);
  if (!bound.ok()) return 0;
  const auto sa = cs::xfrm::parse_sa(payload);
  cs::fuzz::expect(sa.ok() && (sa->aead || sa->authentication), "bound without a key");
  return 0;
}
