// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/device/ticketed_hash.h"

#include <algorithm>
#include <array>

namespace cs::tpm {
namespace {

constexpr std::array<std::uint8_t, 4> generated{0xff, 'T', 'C', 'G'};

struct Answer {
  Out<TPM2B_DIGEST> digest;
  Out<TPMT_TK_HASHCHECK> ticket;
};

Result<Answer> at_once(Device& device, SaltedSession& session, ByteView document) {
  Answer answer;
  CS_TRY(const auto part, sized<TPM2B_MAX_BUFFER>(document, "the document"));
  CS_TRY(const EsysHandle with, session.use(device, Encrypt::both));
  CS_CHECK(device.call("TPM2_Hash", [&](ESYS_CONTEXT* esys) {
    return Esys_Hash(esys, with, ESYS_TR_NONE, ESYS_TR_NONE, &part, TPM2_ALG_SHA256,
                     ESYS_TR_RH_ENDORSEMENT, answer.digest.out(), answer.ticket.out());
  }));
  return answer;
}

Result<Answer> in_parts(Device& device, SaltedSession& session, ByteView document,
                        std::size_t most) {
  constexpr TPM2B_AUTH no_auth{};
  constexpr TPM2B_MAX_BUFFER nothing{};
  EsysHandle sequence = ESYS_TR_NONE;
  CS_CHECK(device.call("TPM2_HashSequenceStart", [&](ESYS_CONTEXT* esys) {
    return Esys_HashSequenceStart(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
                                  TPM2_ALG_SHA256, &sequence);
  }));
  Handle handle = device.adopt(sequence);
  CS_TRY(const EsysHandle with, session.use(device));
  for (; !document.empty(); document = document.subspan(std::min(most, document.size()))) {
    CS_TRY(const auto part,
           sized<TPM2B_MAX_BUFFER>(document.first(std::min(most, document.size())), "a part"));
    CS_CHECK(device.call("TPM2_SequenceUpdate", [&](ESYS_CONTEXT* esys) {
      return Esys_SequenceUpdate(esys, sequence, with, ESYS_TR_NONE, ESYS_TR_NONE, &part);
    }));
  }
  Answer answer;
  CS_CHECK(device.call("TPM2_SequenceComplete", [&](ESYS_CONTEXT* esys) {
    return Esys_SequenceComplete(esys, sequence, with, ESYS_TR_NONE, ESYS_TR_NONE, &nothing,
                                 ESYS_TR_RH_ENDORSEMENT, answer.digest.out(), answer.ticket.out());
  }));
  device.consumed(std::move(handle));
  return answer;
}

}  // namespace

Result<TicketedDigest> hash_with_ticket(Device& device, SaltedSession& session, ByteView document) {
  if (document.size() >= generated.size() &&
      std::ranges::equal(document.first(generated.size()), generated)) {
    return Error(ErrorKind::invalid,
                 "a document that begins like a TPM's own word (0xff 'TCG') is not signed");
  }
  const std::size_t most = device.capabilities().hash_buffer;
  CS_TRY(const Answer answer, document.size() <= most ? at_once(device, session, document)
                                                      : in_parts(device, session, document, most));
  const Digest ours = Hasher(HashAlgorithm::sha256).hash({document});
  if (!std::ranges::equal(view(*answer.digest), ours.bytes())) {
    return Error(ErrorKind::unverified, "TPM2_Hash: the TPM has hashed something else")
        .with_hint("does something sit between this machine and its TPM?");
  }
  return TicketedDigest{*answer.digest, *answer.ticket};
}

}  // namespace cs::tpm
