// SPDX-License-Identifier: GPL-3.0-or-later
#include <gtest/gtest.h>
#include <tss2/tss2_common.h>
#include <tss2/tss2_tpm2_types.h>

#include <string>
#include <vector>

#include "tpm/device/response.h"

namespace {

using cs::ErrorKind;
using cs::Retry;
using cs::tpm::explain;
using cs::tpm::Trouble;

struct Row {
  std::uint32_t code;
  ErrorKind kind;
  Retry retry;
  Trouble trouble;
  std::string name;  // in the text
};

const std::vector<Row> rows{
    {TPM2_RC_RETRY, ErrorKind::busy, Retry::after_delay, Trouble::transient, "TPM_RC_RETRY"},
    {TPM2_RC_YIELDED, ErrorKind::busy, Retry::after_delay, Trouble::transient, "TPM_RC_YIELDED"},
    {TPM2_RC_TESTING, ErrorKind::busy, Retry::after_delay, Trouble::transient, "TPM_RC_TESTING"},
    {TPM2_RC_NV_RATE, ErrorKind::busy, Retry::after_delay, Trouble::transient, "TPM_RC_NV_RATE"},
    {TPM2_RC_NV_UNAVAILABLE, ErrorKind::busy, Retry::after_delay, Trouble::transient,
     "TPM_RC_NV_UNAVAILABLE"},
    {TPM2_RC_CANCELED, ErrorKind::busy, Retry::at_once, Trouble::command, "TPM_RC_CANCELED"},
    {TPM2_RC_MEMORY, ErrorKind::limit, Retry::after_delay, Trouble::command, "TPM_RC_MEMORY"},
    {TPM2_RC_OBJECT_MEMORY, ErrorKind::limit, Retry::after_delay, Trouble::command,
     "TPM_RC_OBJECT_MEMORY"},
    {TPM2_RC_SESSION_MEMORY, ErrorKind::limit, Retry::after_delay, Trouble::command,
     "TPM_RC_SESSION_MEMORY"},
    {TPM2_RC_PCR_CHANGED, ErrorKind::busy, Retry::anew, Trouble::pcr_changed, "TPM_RC_PCR_CHANGED"},
    {TPM2_RC_AUTH_FAIL, ErrorKind::denied, Retry::no, Trouble::authorisation, "TPM_RC_AUTH_FAIL"},
    {TPM2_RC_AUTH_FAIL | TPM2_RC_S | TPM2_RC_1, ErrorKind::denied, Retry::no,
     Trouble::authorisation, "TPM_RC_AUTH_FAIL for session 1"},
    {TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_2, ErrorKind::denied, Retry::no, Trouble::authorisation,
     "TPM_RC_BAD_AUTH for session 2"},
    {TPM2_RC_LOCKOUT, ErrorKind::denied, Retry::no, Trouble::command, "TPM_RC_LOCKOUT"},
    {TPM2_RC_POLICY_FAIL | TPM2_RC_S | TPM2_RC_1, ErrorKind::denied, Retry::no, Trouble::command,
     "TPM_RC_POLICY_FAIL for session 1"},
    {TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_3, ErrorKind::invalid, Retry::no, Trouble::command,
     "TPM_RC_VALUE for parameter 3"},
    {TPM2_RC_SCHEME | TPM2_RC_P | TPM2_RC_A, ErrorKind::unsupported, Retry::no, Trouble::command,
     "TPM_RC_SCHEME for parameter 10"},
    {TPM2_RC_HANDLE | TPM2_RC_2, ErrorKind::not_found, Retry::anew, Trouble::object_gone,
     "TPM_RC_HANDLE for handle 2"},
    {TPM2_RC_REFERENCE_H0, ErrorKind::not_found, Retry::anew, Trouble::object_gone,
     "TPM_RC_REFERENCE for handle 1"},
    {TPM2_RC_REFERENCE_S2, ErrorKind::not_found, Retry::anew, Trouble::object_gone,
     "TPM_RC_REFERENCE for session 3"},
    {TPM2_RC_INITIALIZE, ErrorKind::io, Retry::anew, Trouble::not_started, "TPM_RC_INITIALIZE"},
    {TPM2_RC_FAILURE, ErrorKind::io, Retry::no, Trouble::command, "TPM_RC_FAILURE"},
    {TPM2_RC_NV_DEFINED, ErrorKind::exists, Retry::no, Trouble::command, "TPM_RC_NV_DEFINED"},
    {TPM2_RC_INTEGRITY | TPM2_RC_P | TPM2_RC_1, ErrorKind::unverified, Retry::no, Trouble::command,
     "TPM_RC_INTEGRITY for parameter 1"},
    {TSS2_RESMGR_TPM_RC_LAYER | TPM2_RC_COMMAND_CODE, ErrorKind::unsupported, Retry::no,
     Trouble::command, "TPM_RC_COMMAND_CODE"},
    {TSS2_TCTI_RC_IO_ERROR, ErrorKind::closed, Retry::anew, Trouble::connection,
     "TCTI_RC_IO_ERROR"},
    {TSS2_TCTI_RC_NO_CONNECTION, ErrorKind::closed, Retry::anew, Trouble::connection,
     "TCTI_RC_NO_CONNECTION"},
    {TSS2_TCTI_RC_NOT_SUPPORTED, ErrorKind::not_found, Retry::no, Trouble::connection,
     "TCTI_RC_NOT_SUPPORTED"},
    {TSS2_SYS_RC_MALFORMED_RESPONSE, ErrorKind::io, Retry::anew, Trouble::connection,
     "SAPI_RC_MALFORMED_RESPONSE"},
    {TSS2_SYS_RC_INSUFFICIENT_RESPONSE, ErrorKind::io, Retry::anew, Trouble::connection,
     "SAPI_RC_INSUFFICIENT_RESPONSE"},
    {TSS2_MU_RC_INSUFFICIENT_BUFFER, ErrorKind::io, Retry::anew, Trouble::connection,
     "MU_RC_MALFORMED_RESPONSE"},
    {TSS2_ESYS_RC_RSP_AUTH_FAILED, ErrorKind::unverified, Retry::no, Trouble::connection,
     "ESYS_RC_RSP_AUTH_FAILED"},
    {TSS2_ESYS_RC_BAD_TR, ErrorKind::not_found, Retry::anew, Trouble::object_gone,
     "ESYS_RC_BAD_TR"},
    {TSS2_ESYS_RC_BAD_VALUE, ErrorKind::internal, Retry::no, Trouble::command, "ESYS_RC_BAD_VALUE"},
};

TEST(Response, EachIsDecodedAndSaysWhatItMeansForTheRest) {
  for (const Row& row : rows) {
    const auto response = explain(row.code);
    EXPECT_EQ(to_string(response.kind), to_string(row.kind)) << row.name;
    EXPECT_EQ(response.retry, row.retry) << row.name;
    EXPECT_EQ(response.trouble, row.trouble) << row.name;
    EXPECT_NE(response.text.find("(" + row.name + ", 0x"), std::string::npos) << response.text;
  }
}

TEST(Response, IsASentenceWithWhatWasAskedAndWhatToDo) {
  const auto error = cs::tpm::response_error(TPM2_RC_AUTH_FAIL | TPM2_RC_S | TPM2_RC_1,
                                             "TPM2_Sign with the attestation key");
  EXPECT_EQ(error.message(),
            "TPM2_Sign with the attestation key: the authorisation does not match, and the TPM "
            "counts it (TPM_RC_AUTH_FAIL for session 1, 0x98e); check the auth value; it is not "
            "tried again for an hour, so that the TPM does not lock");
}

// Whatever a hostile TPM answers: an error, of a kind, in one line.
TEST(Response, EveryCodeThereIsHasOne) {
  for (std::uint32_t code = 1; code < 0x1000; ++code) {
    EXPECT_FALSE(explain(code).text.empty());
    EXPECT_FALSE(explain(code | TSS2_RESMGR_TPM_RC_LAYER).text.empty());
  }
  for (std::uint32_t layer = 1; layer < 256; ++layer) {
    for (std::uint32_t base = 0; base < 70; ++base) {
      EXPECT_FALSE(explain((layer << TSS2_RC_LAYER_SHIFT) | base).text.empty());
    }
  }
  EXPECT_NE(explain(0x17f).text.find("a code we do not know (0x17f)"), std::string::npos);
}

}  // namespace
