// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates as they lie in a TPM's NV memory or in a file: in DER or PEM, one or several,
// padded, or behind the header of TPM 1.2. What comes out is DER, with what had to be forgiven to
// get there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cs::tpm {

inline constexpr std::size_t most_certificate_bytes = std::size_t{64} * 1024;  // of an input
inline constexpr std::size_t most_certificates = 16;                           // in an input

enum class CertificateForm : std::uint8_t {
  public_key,  // X.509, RFC 5280
  attribute,   // RFC 5755, version 2
};

struct EncodedCertificate {
  std::vector<std::uint8_t> der;
  CertificateForm form = CertificateForm::public_key;
  std::vector<std::string> forgiven;  // sentences
};

// At least one. An on-die chain that is split over several NV indices is put together by the caller
// first. Refused, with what to do: no certificate (an empty index, compressed data, a vendor's
// JSON, a URL, PEM of something else), and anything that is cut off or is followed by what is none.
[[nodiscard]] Result<std::vector<EncodedCertificate>> find_certificates(ByteView bytes);

}  // namespace cs::tpm
