// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/response.h"

#include <tss2/tss2_common.h>
#include <tss2/tss2_tpm2_types.h>

#include <array>
#include <charconv>
#include <span>

namespace cs::tpm {
namespace {

struct Row {
  std::uint32_t code;
  std::string_view name;
  std::string_view text;
  ErrorKind kind;
  Retry retry = Retry::no;
  Trouble trouble = Trouble::command;
  std::string_view hint = {};
};

using enum ErrorKind;
using enum Retry;

constexpr std::string_view other_owner =
    "use /dev/tpmrm0, whose resource manager swaps objects, and see who else holds the TPM";
constexpr std::string_view wrong_value =
    "check the auth value; it is not tried again for an hour, so that the TPM does not lock";
constexpr std::string_view see_status = "see countersign tpm status for when it ends";
constexpr std::string_view unhealthy = "switch the machine off and on; replace the TPM if it stays";

// Format one: they name a parameter, a handle or a session.
constexpr std::array format_one{
    Row{TPM2_RC_ASYMMETRIC, "ASYMMETRIC", "the asymmetric algorithm is not supported", unsupported},
    Row{TPM2_RC_ATTRIBUTES, "ATTRIBUTES", "the attributes do not allow it", invalid},
    Row{TPM2_RC_HASH, "HASH", "the hash algorithm is not supported here", unsupported},
    Row{TPM2_RC_VALUE, "VALUE", "a value is out of range or not what it must be", invalid},
    Row{TPM2_RC_HIERARCHY, "HIERARCHY", "the hierarchy is disabled or not the right one", denied,
        no, Trouble::command, "enable the hierarchy in the firmware's settings"},
    Row{TPM2_RC_KEY_SIZE, "KEY_SIZE", "the key size is not supported", unsupported},
    Row{TPM2_RC_MGF, "MGF", "the mask generation function is not supported", unsupported},
    Row{TPM2_RC_MODE, "MODE", "the mode of operation is not supported", unsupported},
    Row{TPM2_RC_TYPE, "TYPE", "the type of the key or value is not the right one", invalid},
    Row{TPM2_RC_HANDLE, "HANDLE", "the TPM does not have that object", not_found, anew,
        Trouble::object_gone},
    Row{TPM2_RC_KDF, "KDF", "the key derivation function is not supported", unsupported},
    Row{TPM2_RC_RANGE, "RANGE", "a value is out of its range", invalid},
    Row{TPM2_RC_AUTH_FAIL, "AUTH_FAIL", "the authorisation does not match, and the TPM counts it",
        denied, no, Trouble::authorisation, wrong_value},
    Row{TPM2_RC_NONCE, "NONCE", "the session's nonce does not match", unverified},
    Row{TPM2_RC_PP, "PP", "physical presence is demanded", denied},
    Row{TPM2_RC_SCHEME, "SCHEME", "the signing or encryption scheme does not fit", unsupported},
    Row{TPM2_RC_SIZE, "SIZE", "a structure has the wrong size", invalid},
    Row{TPM2_RC_SYMMETRIC, "SYMMETRIC", "the symmetric algorithm is not supported", unsupported},
    Row{TPM2_RC_TAG, "TAG", "a structure has the wrong tag", invalid},
    Row{TPM2_RC_SELECTOR, "SELECTOR", "a union's selector is not one the TPM knows", invalid},
    Row{TPM2_RC_INSUFFICIENT, "INSUFFICIENT", "the command ends too early", truncated},
    Row{TPM2_RC_SIGNATURE, "SIGNATURE", "the signature does not verify", unverified},
    Row{TPM2_RC_KEY, "KEY", "the key does not fit the use", invalid},
    Row{TPM2_RC_POLICY_FAIL, "POLICY_FAIL", "the policy does not hold", denied, no,
        Trouble::command, "compare the PCRs with those the policy was made for"},
    Row{TPM2_RC_INTEGRITY, "INTEGRITY", "the blob was not made by this TPM, or was changed",
        unverified, no, Trouble::command,
        "was the TPM cleared or replaced? then make its keys anew"},
    Row{TPM2_RC_TICKET, "TICKET", "the ticket is not this TPM's", unverified},
    Row{TPM2_RC_RESERVED_BITS, "RESERVED_BITS", "reserved bits are set", invalid},
    Row{TPM2_RC_BAD_AUTH, "BAD_AUTH", "the authorisation does not match", denied, no,
        Trouble::authorisation, wrong_value},
    Row{TPM2_RC_EXPIRED, "EXPIRED", "the policy has expired", denied},
    Row{TPM2_RC_POLICY_CC, "POLICY_CC", "the policy is for another command", denied},
    Row{TPM2_RC_BINDING, "BINDING", "public and private part do not belong together", unverified},
    Row{TPM2_RC_CURVE, "CURVE", "the curve is not supported", unsupported},
    Row{TPM2_RC_ECC_POINT, "ECC_POINT", "the point is not on the curve", invalid},
};

// Format zero: errors (0x1nn) and warnings (0x9nn).
constexpr std::array format_zero{
    Row{TPM2_RC_INITIALIZE, "INITIALIZE", "the TPM was reset and not started up", io, anew,
        Trouble::not_started},
    Row{TPM2_RC_FAILURE, "FAILURE", "the TPM is in failure mode", io, no, Trouble::command,
        unhealthy},
    Row{TPM2_RC_SEQUENCE, "SEQUENCE", "the sequence was not begun like this", internal},
    Row{TPM2_RC_DISABLED, "DISABLED", "the command is disabled", unsupported},
    Row{TPM2_RC_EXCLUSIVE, "EXCLUSIVE", "the audit session is no longer exclusive", busy, anew},
    Row{TPM2_RC_AUTH_TYPE, "AUTH_TYPE", "this authorisation is not allowed for the object", denied},
    Row{TPM2_RC_AUTH_MISSING, "AUTH_MISSING", "an authorisation is missing", internal},
    Row{TPM2_RC_POLICY, "POLICY", "the policy has too many branches or is inconsistent", invalid},
    Row{TPM2_RC_PCR, "PCR", "the PCR cannot be used like this", denied},
    Row{TPM2_RC_PCR_CHANGED, "PCR_CHANGED", "a PCR was extended meanwhile", busy, anew,
        Trouble::pcr_changed},
    Row{TPM2_RC_UPGRADE, "UPGRADE", "the TPM is in field upgrade mode", busy, after_delay},
    Row{TPM2_RC_TOO_MANY_CONTEXTS, "TOO_MANY_CONTEXTS", "too many contexts are saved", limit,
        after_delay, Trouble::command, other_owner},
    Row{TPM2_RC_AUTH_UNAVAILABLE, "AUTH_UNAVAILABLE",
        "the object takes no auth value, or no policy", denied},
    Row{TPM2_RC_REBOOT, "REBOOT", "the TPM wants a restart of the machine", io, no,
        Trouble::command, "restart the machine"},
    Row{TPM2_RC_UNBALANCED, "UNBALANCED", "the key's algorithms do not match in strength", invalid},
    Row{TPM2_RC_COMMAND_SIZE, "COMMAND_SIZE", "the command's size is wrong", internal},
    Row{TPM2_RC_COMMAND_CODE, "COMMAND_CODE", "this TPM does not have the command", unsupported},
    Row{TPM2_RC_AUTHSIZE, "AUTHSIZE", "the size of the authorisations is wrong", internal},
    Row{TPM2_RC_AUTH_CONTEXT, "AUTH_CONTEXT", "the command takes no session", internal},
    Row{TPM2_RC_NV_RANGE, "NV_RANGE", "beyond the end of the NV index", invalid},
    Row{TPM2_RC_NV_SIZE, "NV_SIZE", "the NV index has another size", invalid},
    Row{TPM2_RC_NV_LOCKED, "NV_LOCKED", "the NV index is locked", denied},
    Row{TPM2_RC_NV_AUTHORIZATION, "NV_AUTHORIZATION", "not authorised for the NV index", denied},
    Row{TPM2_RC_NV_UNINITIALIZED, "NV_UNINITIALIZED", "the NV index was never written", not_found},
    Row{TPM2_RC_NV_SPACE, "NV_SPACE", "the TPM's NV memory is full", limit, no, Trouble::command,
        "remove indices nobody uses: tpm2_nvreadpublic lists them"},
    Row{TPM2_RC_NV_DEFINED, "NV_DEFINED", "the NV index or persistent handle is taken", exists},
    Row{TPM2_RC_BAD_CONTEXT, "BAD_CONTEXT", "the saved context is not this TPM's", unverified},
    Row{TPM2_RC_CPHASH, "CPHASH", "the policy is for other parameters", denied},
    Row{TPM2_RC_PARENT, "PARENT", "the parent is no storage key", invalid},
    Row{TPM2_RC_NEEDS_TEST, "NEEDS_TEST", "an algorithm must be tested first", busy, after_delay},
    Row{TPM2_RC_NO_RESULT, "NO_RESULT", "the computation has no result", io},
    Row{TPM2_RC_SENSITIVE, "SENSITIVE", "the private part is malformed", invalid},
    Row{TPM2_RC_CONTEXT_GAP, "CONTEXT_GAP", "a saved session is too old", limit, after_delay,
        Trouble::command, other_owner},
    Row{TPM2_RC_OBJECT_MEMORY, "OBJECT_MEMORY", "no slot for another object is free", limit,
        after_delay, Trouble::command, other_owner},
    Row{TPM2_RC_SESSION_MEMORY, "SESSION_MEMORY", "no slot for another session is free", limit,
        after_delay, Trouble::command, other_owner},
    Row{TPM2_RC_MEMORY, "MEMORY", "the TPM's memory is used up", limit, after_delay,
        Trouble::command, other_owner},
    Row{TPM2_RC_SESSION_HANDLES, "SESSION_HANDLES", "no session handle is free", limit, after_delay,
        Trouble::command, other_owner},
    Row{TPM2_RC_OBJECT_HANDLES, "OBJECT_HANDLES", "no object handle is free", limit, no,
        Trouble::command, "restart the machine"},
    Row{TPM2_RC_LOCALITY, "LOCALITY", "not allowed from this locality", denied},
    Row{TPM2_RC_YIELDED, "YIELDED", "the TPM has put the command off", busy, after_delay,
        Trouble::transient},
    Row{TPM2_RC_CANCELED, "CANCELED", "the command was cancelled", busy, at_once},
    Row{TPM2_RC_TESTING, "TESTING", "the TPM is testing itself", busy, after_delay,
        Trouble::transient},
    Row{TPM2_RC_NV_RATE, "NV_RATE", "the TPM limits how often NV is written", busy, after_delay,
        Trouble::transient},
    Row{TPM2_RC_LOCKOUT, "LOCKOUT", "the TPM is locked after failed authorisations", denied, no,
        Trouble::command, see_status},
    Row{TPM2_RC_RETRY, "RETRY", "the TPM could not begin the command", busy, after_delay,
        Trouble::transient},
    Row{TPM2_RC_NV_UNAVAILABLE, "NV_UNAVAILABLE", "NV memory cannot be written just now", busy,
        after_delay, Trouble::transient},
};
constexpr Row reference{
    TPM2_RC_REFERENCE_H0, "REFERENCE", "an object or session is not loaded", not_found, anew,
    Trouble::object_gone};

// What the software below us says, whichever of its layers.
constexpr std::string_view look_at_tpm = "is the TPM there, and may this user open it?";
constexpr std::array software{
    Row{TSS2_BASE_RC_GENERAL_FAILURE, "GENERAL_FAILURE", "it failed and does not say why", io, anew,
        Trouble::connection, look_at_tpm},
    Row{TSS2_BASE_RC_NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "it is not implemented", unsupported},
    Row{TSS2_BASE_RC_ABI_MISMATCH, "ABI_MISMATCH", "the libraries do not fit together", unsupported,
        no, Trouble::command, "install tpm2-tss from one release"},
    Row{TSS2_BASE_RC_BAD_REFERENCE, "BAD_REFERENCE", "a pointer is null", internal},
    Row{TSS2_BASE_RC_INSUFFICIENT_BUFFER, "INSUFFICIENT_BUFFER", "a buffer is too small", io, anew,
        Trouble::connection},
    // ESYS stays in this state after a command whose answer never came.
    Row{TSS2_BASE_RC_BAD_SEQUENCE, "BAD_SEQUENCE", "another command is still under way", io, anew,
        Trouble::connection},
    Row{TSS2_BASE_RC_NO_CONNECTION, "NO_CONNECTION", "there is no connection to a TPM", closed,
        anew, Trouble::connection, look_at_tpm},
    Row{TSS2_BASE_RC_TRY_AGAIN, "TRY_AGAIN", "the answer has not come in time", timed_out, anew,
        Trouble::connection},
    Row{TSS2_BASE_RC_IO_ERROR, "IO_ERROR", "the connection to the TPM broke", closed, anew,
        Trouble::connection, look_at_tpm},
    Row{TSS2_BASE_RC_BAD_VALUE, "BAD_VALUE", "a parameter has a value it may not have", internal},
    Row{TSS2_BASE_RC_NOT_PERMITTED, "NOT_PERMITTED", "it is not permitted", denied},
    Row{TSS2_BASE_RC_BAD_SIZE, "BAD_SIZE", "a parameter has a size it may not have", internal},
    Row{TSS2_BASE_RC_MALFORMED_RESPONSE, "MALFORMED_RESPONSE", "the answer is malformed", io, anew,
        Trouble::connection},
    Row{TSS2_BASE_RC_INSUFFICIENT_RESPONSE, "INSUFFICIENT_RESPONSE", "the answer is cut off", io,
        anew, Trouble::connection},
    Row{TSS2_BASE_RC_NOT_SUPPORTED, "NOT_SUPPORTED", "it is not supported", unsupported},
    Row{TSS2_BASE_RC_MEMORY, "MEMORY", "out of memory", limit, after_delay},
    Row{TSS2_BASE_RC_BAD_TR, "BAD_TR", "the handle is not one of this connection", not_found, anew,
        Trouble::object_gone},
    Row{TSS2_BASE_RC_RSP_AUTH_FAILED, "RSP_AUTH_FAILED",
        "the answer's HMAC does not verify: it is not the TPM's, or was changed on its way",
        unverified, no, Trouble::connection,
        "does something sit between this machine and its TPM?"},
};

// Where the stack found nothing to open; only the loader says so.
constexpr Row no_tcti{
    0,          "NOT_SUPPORTED", "there is no TPM of that name", not_found, no, Trouble::connection,
    look_at_tpm};

const Row* find(std::span<const Row> rows, std::uint32_t code) {
  for (const Row& row : rows) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

std::string hex(std::uint32_t code) {
  std::array<char, 8> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), code, 16);
  return "0x" + std::string(digits.data(), end.ptr);
}

// TPM 2.0 Part 2, 6.6.3: which parameter, handle or session of the command is meant.
std::string subject(std::uint32_t code) {
  const std::uint32_t number = (code >> 8U) & 0xfU;
  if ((code & TPM2_RC_P) != 0) return " for parameter " + std::to_string(number);
  if (number > 8) return " for session " + std::to_string(number - 8);
  return number == 0 || number == 8 ? "" : " for handle " + std::to_string(number);
}

std::string reference_subject(std::uint32_t code) {
  const std::uint32_t number = code & 0x7U;
  return ((code & 0x8U) != 0 ? " for session " : " for handle ") + std::to_string(number + 1);
}

Response made(const Row& row, std::string_view layer, const std::string& about,
              std::uint32_t code) {
  std::string text(row.text);
  text.append(" (").append(layer).append("_RC_").append(row.name).append(about);
  text.append(", ").append(hex(code)).append(")");
  return {row.trouble, row.kind, row.retry, std::move(text), row.hint};
}

Response unknown(std::string_view who, std::uint32_t code) {
  return {Trouble::command,
          ErrorKind::io,
          Retry::no,
          std::string(who) + " answers with a code we do not know (" + hex(code) + ")",
          {}};
}

Response of_tpm(std::uint32_t code) {
  const std::uint32_t tpm = code & 0xfffU;
  if ((tpm & TPM2_RC_FMT1) != 0) {
    const Row* row = find(format_one, tpm & (TPM2_RC_FMT1 | 0x3fU));
    return row != nullptr ? made(*row, "TPM", subject(tpm), code) : unknown("the TPM", code);
  }
  if (tpm >= TPM2_RC_REFERENCE_H0 && tpm <= TPM2_RC_REFERENCE_S6) {
    return made(reference, "TPM", reference_subject(tpm), code);
  }
  const Row* row = find(format_zero, tpm);
  return row != nullptr ? made(*row, "TPM", "", code) : unknown("the TPM", code);
}

std::string_view layer_name(std::uint32_t code) {
  switch (code & TSS2_RC_LAYER_MASK) {
    case TSS2_ESAPI_RC_LAYER:
      return "ESYS";
    case TSS2_SYS_RC_LAYER:
      return "SAPI";
    case TSS2_MU_RC_LAYER:
      return "MU";
    case TSS2_TCTI_RC_LAYER:
      return "TCTI";
    case TSS2_RESMGR_RC_LAYER:
      return "RESOURCE_MANAGER";
    default:
      return "TSS2";
  }
}

}  // namespace

Response explain(std::uint32_t code) {
  const std::uint32_t layer = code & TSS2_RC_LAYER_MASK;
  // The kernel's resource manager answers for the TPM what the TPM would.
  if (layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER) return of_tpm(code);
  const std::uint32_t base = code & ~TSS2_RC_LAYER_MASK;
  // Marshalling fails on the way in, too: what the TPM sent does not parse.
  if (layer == TSS2_MU_RC_LAYER) {
    return made(*find(software, TSS2_BASE_RC_MALFORMED_RESPONSE), "MU", "", code);
  }
  if (layer == TSS2_TCTI_RC_LAYER && base == TSS2_BASE_RC_NOT_SUPPORTED) {
    return made(no_tcti, "TCTI", "", code);
  }
  const Row* row = find(software, base);
  return row != nullptr ? made(*row, layer_name(code), "", code)
                        : unknown("the TPM software stack", code);
}

Error response_error(std::uint32_t code, std::string_view asked) {
  Response response = explain(code);
  std::string sentence(asked);
  sentence.append(": ").append(response.text);
  Error error = Error(response.kind, std::move(sentence)).with_retry(response.retry);
  if (response.hint.empty()) return error;
  return std::move(error).with_hint(std::string(response.hint));
}

}  // namespace cs::tpm
