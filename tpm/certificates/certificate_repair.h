// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates that are wrong in ways OpenSSL does not load, put right for loading.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::tpm {

struct RepairedCertificate {
  std::vector<std::uint8_t> der;          // for loading; the input itself where nothing was wrong
  std::vector<std::uint8_t> signed_part;  // as it came: what the signature is over
  std::vector<std::string> forgiven;      // sentences
};

// Repairs a serial number with superfluous leading bytes and rsaesOaep as key algorithm, and tells
// of lengths that are too long. Meaning is never changed: the number and the key stay what they
// are.
[[nodiscard]] Result<RepairedCertificate> repair_certificate(ByteView der);

}  // namespace cs::tpm
