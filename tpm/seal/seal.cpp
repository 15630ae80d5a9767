// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/seal.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tpm/device/authorization.h"
#include "tpm/device/esys.h"
#include "tpm/device/marshal.h"
#include "tpm/device/pcr_commands.h"
#include "tpm/device/session.h"
#include "tpm/evidence/name.h"
#include "tpm/seal/gcm.h"
#include "tpm/seal/nv_counter.h"

namespace cs::tpm {
namespace {

static_assert(SealedHeader::nonce_size == gcm_nonce_size && SealedBlob::tag_size == gcm_tag_size);

Result<void> random_bytes(ByteSpan out) {
  if (RAND_bytes(out.data(), static_cast<int>(out.size())) == 1) return {};
  return Error(ErrorKind::io, "drawing random bytes for sealing: OpenSSL has none");
}

Result<TPM2B_PUBLIC> to_tpm(const PublicArea& area) {
  TPM2B_PUBLIC to{};
  CS_TRY(to.publicArea,
         unmarshal<TPMT_PUBLIC>(Tss2_MU_TPMT_PUBLIC_Unmarshal, area.encode(), "a public area"));
  return to;
}

Result<PublicArea> from_tpm(const TPMT_PUBLIC& area) {
  CS_TRY(const Bytes bytes,
         marshal<TPMT_PUBLIC>(Tss2_MU_TPMT_PUBLIC_Marshal, area, "the TPM's public area"));
  return PublicArea::parse(bytes);
}

// ESYS's copy of what was unsealed.
class SecretOut {
 public:
  SecretOut() = default;
  SecretOut(const SecretOut&) = delete;
  SecretOut& operator=(const SecretOut&) = delete;
  SecretOut(SecretOut&&) = delete;
  SecretOut& operator=(SecretOut&&) = delete;
  ~SecretOut() { release(); }
  TPM2B_SENSITIVE_DATA** out() {
    release();
    return &data_;
  }
  [[nodiscard]] ByteView bytes() const { return view(*data_); }

 private:
  void release() {
    if (data_ != nullptr) OPENSSL_cleanse(data_, sizeof(*data_));
    Esys_Free(std::exchange(data_, nullptr));
  }
  TPM2B_SENSITIVE_DATA* data_ = nullptr;
};

TPM2B_PUBLIC shape_of(const SealPolicy& policy) {
  TPM2B_PUBLIC shape{};
  shape.publicArea.type = TPM2_ALG_KEYEDHASH;
  shape.publicArea.nameAlg = TPM2_ALG_SHA256;
  shape.publicArea.objectAttributes = sealed_attributes(policy.auth_value);
  shape.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
  const Digest digest = policy.digest();
  shape.publicArea.authPolicy.size = static_cast<UINT16>(digest.bytes().size());
  std::ranges::copy(digest.bytes(), &shape.publicArea.authPolicy.buffer[0]);
  return shape;
}

// The object that holds `key`; fills in what the header says of it.
Result<void> create(Device& device, VolatileObject& srk, const SecretBytes& key,
                    const SealTerms& terms, SealedHeader& header) {
  CS_TRY(const Handle* const srk_handle, srk.handle(device));
  CS_TRY(const Session session, Session::hmac(device, *srk_handle));
  CS_TRY(const EsysHandle parent, srk.use(device));
  CS_TRY(const EsysHandle with, session.use(device, Encrypt::command));
  TPM2B_SENSITIVE_CREATE sensitive{};
  CS_TRY(sensitive.sensitive.userAuth, sized<TPM2B_AUTH>(view(terms.auth), "the auth value"));
  CS_TRY(sensitive.sensitive.data, sized<TPM2B_SENSITIVE_DATA>(key.bytes(), "the key"));
  const TPM2B_PUBLIC shape = shape_of(terms.policy);
  Out<TPM2B_PRIVATE> private_part;
  Out<TPM2B_PUBLIC> public_part;
  auto done = device.call("TPM2_Create of sealed data", [&](ESYS_CONTEXT* esys) {
    constexpr TPM2B_DATA outside{};
    constexpr TPML_PCR_SELECTION no_pcrs{};
    Out<TPM2B_CREATION_DATA> data;
    Out<TPM2B_DIGEST> hash;
    Out<TPMT_TK_CREATION> ticket;
    return Esys_Create(esys, parent, with, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &shape, &outside,
                       &no_pcrs, private_part.out(), public_part.out(), data.out(), hash.out(),
                       ticket.out());
  });
  OPENSSL_cleanse(&sensitive, sizeof(sensitive));
  CS_CHECK(std::move(done));
  CS_TRY(header.object, from_tpm(public_part->publicArea));
  const ByteView blob = view(*private_part);
  header.private_part.assign(blob.begin(), blob.end());
  header.parent.bytes = srk.name();
  return {};
}

Result<Handle> load(Device& device, VolatileObject& srk, const SealedHeader& header) {
  CS_TRY(const EsysHandle parent, srk.use(device));
  CS_TRY(const TPM2B_PUBLIC public_part, to_tpm(header.object));
  CS_TRY(const TPM2B_PRIVATE private_part,
         sized<TPM2B_PRIVATE>(header.private_part, "the private part"));
  EsysHandle made = ESYS_TR_NONE;
  TSS2_RC answer = TSS2_RC_SUCCESS;
  auto done = device.call("TPM2_Load of sealed data", [&](ESYS_CONTEXT* esys) {
    answer = Esys_Load(esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private_part,
                       &public_part, &made);
    return answer;
  });
  if (done.ok()) return device.adopt(made);
  const Response response = explain(answer);
  // A TPM without room says nothing of the data, nor does one that is asked too much.
  if (response.trouble != Trouble::command || response.retry != Retry::no)
    return std::move(done).error();
  // The parent's Name is the same, so it is not the TPM that is another one.
  return Error(ErrorKind::unverified,
               "the sealed data were changed: " + std::move(done).error().message());
}

// What the TPM made of an approval's signature: that it has verified it itself.
struct Approved {
  const Approval* approval;
  TPMT_TK_VERIFIED ticket;
  TPM2B_NAME approver;
};

Result<Approved> show(Device& device, const Approval& approval, const PublicArea& approver) {
  CS_TRY(const TPM2B_PUBLIC area, to_tpm(approver));
  CS_TRY(const TPMT_SIGNATURE signature,
         unmarshal<TPMT_SIGNATURE>(Tss2_MU_TPMT_SIGNATURE_Unmarshal, approval.signature.encode(),
                                   "an approval's signature"));
  const Digest message =
      Hasher(HashAlgorithm::sha256).hash({approval.policy().bytes(), approval.reference.bytes()});
  CS_TRY(const TPM2B_DIGEST digest, sized<TPM2B_DIGEST>(message.bytes(), "an approval"));
  EsysHandle made = ESYS_TR_NONE;
  // In a hierarchy that has tickets, unlike null.
  CS_CHECK(device.call("TPM2_LoadExternal of the approver's key", [&](ESYS_CONTEXT* esys) {
    return Esys_LoadExternal(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, nullptr, &area,
                             ESYS_TR_RH_OWNER, &made);
  }));
  const Handle key = device.adopt(made);
  Out<TPMT_TK_VERIFIED> ticket;
  CS_CHECK(device.call("TPM2_VerifySignature of an approval", [&](ESYS_CONTEXT* esys) {
    return Esys_VerifySignature(esys, made, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                &signature, ticket.out());
  }));
  Approved approved{&approval, *ticket, {}};
  const Name name = name_of(approver);
  approved.approver.size = static_cast<UINT16>(name.bytes.size());
  std::ranges::copy(name.bytes, &approved.approver.name[0]);
  return approved;
}

Result<void> policy_authorize(Device& device, const Session& session, const Approved& approved) {
  CS_TRY(const EsysHandle policy, session.use(device));
  CS_TRY(const TPM2B_DIGEST digest,
         sized<TPM2B_DIGEST>(approved.approval->policy().bytes(), "an approved policy"));
  CS_TRY(const TPM2B_NONCE reference,
         sized<TPM2B_NONCE>(approved.approval->reference.bytes(), "a policy reference"));
  return device.call("TPM2_PolicyAuthorize", [&](ESYS_CONTEXT* esys) {
    return Esys_PolicyAuthorize(esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                &reference, &approved.approver, &approved.ticket);
  });
}

Result<void> policy_auth_value(Device& device, const Session& session) {
  CS_TRY(const EsysHandle policy, session.use(device));
  return device.call("TPM2_PolicyAuthValue", [&](ESYS_CONTEXT* esys) {
    return Esys_PolicyAuthValue(esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE);
  });
}

// "PCR sha256:7 is 01…, not 23… (event 4 of the boot log …); PCR …"; empty if nothing differs.
std::string text_of(const std::vector<PcrState::Difference>& differences, const PcrLogs& logs) {
  std::string text;
  for (const auto& difference : differences) {
    text += (text.empty() ? "" : ", ") + difference.text();
    const std::string why = explain_change(difference, logs);
    if (!why.empty()) text += " (" + why + ")";
  }
  return text;
}

// Why it does not hold; nothing if it does.
Result<std::optional<std::string>> fault_of(Device& device, const Handle& srk,
                                            const Approval& approval, const UnsealTerms& terms) {
  const auto verified = approval.verify(terms.approved->approver, terms.approved->reference);
  if (!verified.ok()) return std::optional(verified.error().message());
  CS_TRY(const std::uint64_t count, read_counter(device, srk, approval.counter_index));
  if (count > approval.counter_at_most) {
    return std::optional("it is retired: it held up to " +
                         std::to_string(approval.counter_at_most) + ", the TPM counts " +
                         std::to_string(count));
  }
  CS_TRY(const PcrValues now, read_pcrs(device, approval.state.selection()));
  std::string differences = text_of(approval.state.differences(now), terms.logs);
  if (!differences.empty()) return std::optional(std::move(differences));
  return std::optional<std::string>();
}

Result<const Approval*> choose(Device& device, const Handle& srk, const UnsealTerms& terms) {
  std::string why;
  bool any_verified = false;
  for (std::size_t i = 0; i < terms.approvals.size(); ++i) {
    const Approval& approval = terms.approvals[i];
    CS_TRY(const auto fault, fault_of(device, srk, approval, terms));
    if (!fault) return &approval;
    any_verified =
        any_verified || approval.verify(terms.approved->approver, terms.approved->reference).ok();
    why += (i == 0 ? "" : "; ") + std::string("approval ") + std::to_string(i + 1) + ": " + *fault;
  }
  if (why.empty()) why = "there is no approval";
  const bool denied = any_verified || terms.approvals.empty();
  return Error(denied ? ErrorKind::denied : ErrorKind::unverified, "unsealing: " + why)
      .with_hint("have this state approved, or go back to one that is");
}

Result<void> check_terms(const VolatileObject& srk, const SealedHeader& header,
                         const UnsealTerms& terms) {
  if (header.parent.bytes != srk.name()) {
    return Error(ErrorKind::unverified,
                 "unsealing: it was sealed under another storage root key than this TPM's")
        .with_hint("was the TPM cleared or replaced? then what is sealed is lost: enrol anew");
  }
  if (header.policy.auth_value != !view(terms.auth).empty()) {
    return Error(ErrorKind::denied, header.policy.auth_value
                                        ? "unsealing: it takes an auth value"
                                        : "unsealing: an auth value where it takes none");
  }
  if (header.policy.approved == terms.approved) return {};
  return Error(ErrorKind::unverified,
               "unsealing: it is not sealed to states that this approver approves for this purpose")
      .with_hint("somebody else may have put it there");
}

// Of a refusal by PolicyPCR, with what differs.
Error explained(Device& device, Error error, const PcrState& state, const PcrLogs& logs) {
  if (error.kind() != ErrorKind::denied) return error;
  const auto now = read_pcrs(device, state.selection());
  if (!now.ok()) return error;
  const std::string differences = text_of(state.differences(*now), logs);
  if (differences.empty()) return error;
  return Error(ErrorKind::denied, "unsealing: " + differences)
      .with_hint("go back to the state it was sealed to, or seal it anew");
}

Result<SecretBytes> unseal_key(Device& device, VolatileObject& srk, const SealedHeader& header,
                               const UnsealTerms& terms) {
  CS_TRY(const Handle* const srk_handle, srk.handle(device));
  CS_CHECK(check_terms(srk, header, terms));
  std::optional<Approved> approved;
  if (terms.approved) {
    CS_TRY(const Approval* const chosen, choose(device, *srk_handle, terms));
    CS_TRY(approved, show(device, *chosen, terms.approved->approver));
  }
  CS_TRY(const Handle object, load(device, srk, header));
  CS_TRY(const EsysHandle item, device.resolve(object));
  CS_TRY(const Session session, Session::policy(device, *srk_handle));
  const PcrState& wanted = approved ? approved->approval->state : header.policy.state;
  const auto build = [&]() -> Result<void> {
    auto pcrs = policy_pcr(device, session, wanted.selection(), wanted.composite());
    if (!pcrs.ok()) return explained(device, std::move(pcrs).error(), wanted, terms.logs);
    if (approved) {
      CS_CHECK(policy_counter(device, session, approved->approval->counter_index,
                              approved->approval->counter_at_most));
      CS_CHECK(policy_authorize(device, session, *approved));
    }
    return header.policy.auth_value ? policy_auth_value(device, session) : Result<void>();
  };
  SecretOut data;
  const auto use = [&]() -> Result<void> {
    CS_TRY(const EsysHandle with, session.use(device, Encrypt::response));
    return call_authorized(device, "TPM2_Unseal", item, view(terms.auth), [&](ESYS_CONTEXT* esys) {
      return Esys_Unseal(esys, item, with, ESYS_TR_NONE, ESYS_TR_NONE, data.out());
    });
  };
  CS_CHECK(with_policy(device, session, build, use));
  if (data.bytes().size() == gcm_key_size) return SecretBytes::copy_of(data.bytes());
  return Error(ErrorKind::unverified, "unsealing: the TPM gives something that is no key of ours");
}

}  // namespace

Result<Bytes> seal(Device& device, VolatileObject& srk, ByteView data, const SealTerms& terms) {
  if (terms.policy.auth_value != !view(terms.auth).empty() ||
      terms.policy.approved.has_value() != terms.policy.state.selection().banks.empty()) {
    return Error(ErrorKind::invalid,
                 "sealing: to PCRs or to what is approved, and with an auth value or without one");
  }
  SealedHeader header{terms.generation, {}, terms.policy, {}, {}, {}};
  CS_TRY(SecretBytes key, SecretBytes::create(gcm_key_size));
  CS_CHECK(random_bytes(key.bytes()));
  CS_CHECK(random_bytes(header.nonce));
  CS_CHECK(create(device, srk, key, terms, header));
  CS_TRY(Bytes blob, header.encode(data.size()));
  const Bytes associated = blob;
  blob.resize(associated.size() + data.size() + gcm_tag_size);
  const ByteSpan rest = std::span(blob).subspan(associated.size());
  CS_CHECK(gcm_encrypt({key, header.nonce, associated}, data, rest.first(data.size()),
                       rest.last(gcm_tag_size)));
  return blob;
}

Result<Unsealed> unseal(Device& device, VolatileObject& srk, const SealedBlob& blob,
                        const UnsealTerms& terms) {
  CS_TRY(const SecretBytes key, unseal_key(device, srk, blob.header, terms));
  Unsealed data(blob.ciphertext.size());
  CS_CHECK(gcm_decrypt({key, blob.header.nonce, blob.associated}, blob.ciphertext, blob.tag,
                       data.bytes())
               .context("unsealing"));
  return data;
}

}  // namespace cs::tpm
