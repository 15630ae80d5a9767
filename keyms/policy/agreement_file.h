// SPDX-License-Identifier: GPL-3.0-or-later
// A core policy with what its gateways have signed of it: a proposal while a signature is missing,
// an agreement when both are there. docs/POLICY.md is the norm for the file.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "keyms/policy/core_policy.h"

namespace cs::keyms {

// By one gateway's attestation key.
struct PolicySignature {
  tpm::Bytes key;        // TPMT_PUBLIC
  tpm::Bytes signature;  // TPMT_SIGNATURE of signed_document()
  bool operator==(const PolicySignature&) const = default;
};

struct AgreementFile {
  std::vector<std::uint8_t> policy;                          // encoded
  std::array<std::optional<PolicySignature>, 2> signatures;  // as the policy has its gateways
  bool operator==(const AgreementFile&) const = default;
};

inline constexpr std::size_t max_key_area = 1024;
inline constexpr std::size_t max_policy_signature = 1024;
inline constexpr std::size_t max_agreement_file =
    max_policy_bytes + 2 * (max_key_area + max_policy_signature) + 64;

Result<std::vector<std::uint8_t>> encode(const AgreementFile& file);
// Its form alone; what it says is for verify(). Refused: everything encode() would not write.
Result<AgreementFile> decode_agreement(ByteView bytes);

// What an attestation key signs of a policy: begins with words that nothing else it signs does.
[[nodiscard]] std::vector<std::uint8_t> signed_document(ByteView policy);

enum class SignatureState : std::uint8_t { missing, good, wrong };

struct SignatureVerdict {
  SignatureState state = SignatureState::missing;
  std::string sentence;  // for a person, with the gateway's NeID
  // Of the key that signed. Where the policy names an authority instead of a key, that it has
  // enrolled this one is still to be shown.
  std::optional<tpm::Name> key;
};

struct AgreementVerdict {
  CorePolicy policy;
  Hash value{};  // core properties value
  std::array<SignatureVerdict, 2> signatures;
  [[nodiscard]] bool is_agreed() const noexcept {
    return signatures[0].state == SignatureState::good &&
           signatures[1].state == SignatureState::good;
  }
};
// Refused: a file whose policy does not validate.
Result<AgreementVerdict> verify(const AgreementFile& file);

// The policy of a file that both gateways have signed; all else is refused, and says whose
// signature is missing or wrong.
Result<AgreementVerdict> read_agreed(ByteView bytes);

}  // namespace cs::keyms
