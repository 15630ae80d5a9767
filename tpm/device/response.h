// SPDX-License-Identifier: GPL-3.0-or-later
// What the TPM and the software below us answer, in words and with what to do about it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace cs::tpm {

// What a failed command says about everything else. Who only passes an error on needs the Error.
enum class Trouble : std::uint8_t {
  command,        // this command is refused; nothing else is affected
  transient,      // the TPM asks to be asked again
  pcr_changed,    // a PCR was extended after PolicyPCR: build the policy session anew
  authorisation,  // an auth value did not match
  object_gone,    // an object or session is not in the TPM: perhaps it was reset
  not_started,    // the TPM was reset and nobody has started it up
  connection,     // what answers, or whether anything does, is no longer known
};

struct Response {
  Trouble trouble = Trouble::command;
  ErrorKind kind = ErrorKind::internal;
  Retry retry = Retry::no;
  std::string text;  // "the authorisation does not match (TPM_RC_AUTH_FAIL for session 1, 0x98e)"
  std::string_view hint;  // empty where there is nothing to do
};

// `code` is a TSS2_RC other than 0: of the TPM (also through a resource manager), of ESYS, of the
// TCTI. How (kind, retry) speak to callers:
//   busy, after_delay    it was tried for a while already (Device does); try again later
//   busy, anew           a PCR moved: a new policy session (with_policy does it)
//   not_found, anew      the object is no longer loaded: VolatileObject::use loads it again
//   closed or io, anew   the connection is gone: Device::recover, which Owner calls by itself
//   denied, no           a wrong auth value, a policy that does not hold, or lockout
[[nodiscard]] Response explain(std::uint32_t code);

// `asked` is the command and its object: "TPM2_Sign with the session signing key".
[[nodiscard]] Error response_error(std::uint32_t code, std::string_view asked);

}  // namespace cs::tpm
