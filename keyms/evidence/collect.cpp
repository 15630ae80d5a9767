// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/collect.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "keyms/evidence/registers.h"
#include "keyms/session/key_schedule.h"
#include "tpm/certificates/certificate.h"
#include "tpm/certificates/nv_certificate.h"
#include "tpm/device/nv.h"
#include "tpm/device/volatile_object.h"
#include "tpm/evidence/attest.h"
#include "tpm/evidence/public_key.h"
#include "tpm/logs/boot_log.h"
#include "tpm/small_file.h"

namespace cs::keyms {

namespace {

Signed signed_by(tpm::Attested attested) {
  return {std::move(attested.attest), std::move(attested.signature)};
}

// As the TPM has just certified them: whole, as the index is small.
Result<tpm::Bytes> contents_of(ByteView certified) {
  CS_TRY(const tpm::Attest attest, tpm::Attest::parse(certified));
  if (const auto* const nv = std::get_if<tpm::Attest::Nv>(&attest.attested)) return nv->contents;
  return Error(ErrorKind::invalid, "TPM2_NV_Certify: the TPM attests something else");
}

Result<Collected::Index> collect_index(tpm::Device& device, const Sources& sources,
                                       const Hash& qualifying) {
  const std::uint32_t number = sources.gateway.event_register.number;
  Collected::Index index;
  CS_TRY(auto certified,
         sources.key.certify(device, {number, sources.event_index_auth}, sources.event_index_auth,
                             certify_qualifying_data(qualifying)));
  index.certified = signed_by(std::move(certified));
  CS_TRY(index.contents, contents_of(index.certified.bytes));
  CS_TRY(index.area, read_nv_public(device, number));
  return index;
}

Result<tpm::Bytes> read_if_there(const std::string& path, std::uint64_t offset, std::size_t limit) {
  auto bytes = tpm::read_file_from(path, offset, limit);
  if (!bytes.ok() && bytes.error().kind() == ErrorKind::not_found) return tpm::Bytes();
  return bytes;
}

}  // namespace

Result<Signed> sign_endpoint(tpm::Device& device, tpm::AttestationKey& key,
                             const EndpointStatement& statement) {
  CS_TRY(tpm::Bytes bytes, encode(statement));
  CS_TRY(tpm::Bytes signature, key.sign(device, signed_endpoint(bytes)));
  return Signed{std::move(bytes), std::move(signature)};
}

void Collected::fill(Evidence& shown) const {
  shown.quote = quote.view();
  shown.values = values;
  if (event_index) {
    shown.event_index = {event_index->area, event_index->certified.view(), event_index->contents};
  }
  if (session_key) shown.session_key.resident = {session_key->area, session_key->certified.view()};
  shown.logs.boot = boot;
  shown.logs.static_log = static_log;
  shown.logs.event_log = event_log;
}

Result<Collected> collect(tpm::Device& device, const Sources& sources, const Hash& qualifying) {
  Collected all;
  CS_TRY(auto quoted, sources.key.quote(device, quoted_registers(sources.gateway), qualifying));
  all.quote = signed_by(std::move(quoted.evidence));
  all.values = std::move(quoted.values);
  if (sources.gateway.event_register.kind == tpm::CelRegister::Kind::nv_index) {
    CS_TRY(all.event_index, collect_index(device, sources, qualifying));
  }
  if (sources.session_key != nullptr) {
    CS_TRY(auto certified, sources.key.certify(device, sources.session_key->object(),
                                               certify_qualifying_data(qualifying)));
    const ByteView area = tpm::without_size(sources.session_key_area);
    all.session_key = {{area.begin(), area.end()}, signed_by(std::move(certified))};
  }
  CS_TRY(all.static_log, sources.static_log.read());
  CS_TRY(all.event_log, sources.event_log.read());
  CS_TRY(all.boot, read_if_there(sources.boot_log, 0, tpm::most_boot_log));
  return all;
}

Result<tpm::Bytes> read_ima_list(const std::string& path, std::uint64_t offset) {
  return read_if_there(path, offset, max_ima_part);
}

namespace {

// In DER, whatever they lie in; what cannot be read is left out.
std::vector<tpm::Bytes> certificates_in(ByteView blob) {
  std::vector<tpm::Bytes> certificates;
  auto found = tpm::find_certificates(blob);
  if (!found.ok()) return certificates;
  for (auto& encoded : *found) certificates.push_back(std::move(encoded.der));
  return certificates;
}

bool is_of(const std::vector<tpm::Bytes>& certificates, const tpm::PublicKey& key) {
  return std::ranges::any_of(certificates, [&key](const tpm::Bytes& der) {
    const auto certificate = tpm::Certificate::parse(der);
    return certificate.ok() && EVP_PKEY_eq(certificate->public_key(), key.openssl()) == 1;
  });
}

}  // namespace

Result<ShownEndorsement> read_endorsement(tpm::Device& device, const tpm::Auth& endorsement) {
  CS_TRY(const auto blobs, read_endorsement_blobs(device));
  tpm::Bytes chain;
  for (const auto& blob : blobs.chain) {
    chain.insert(chain.end(), blob.bytes.begin(), blob.bytes.end());
  }
  for (const auto& blob : blobs.certificates) {
    const auto* const index =
        std::ranges::find(tpm::endorsement_indices, blob.index, &tpm::EndorsementIndex::index);
    auto certificates = certificates_in(blob.bytes);
    if (index == tpm::endorsement_indices.end() || certificates.empty()) continue;
    ShownEndorsement shown{index->key, {}, {}};
    tpm::VolatileObject key = tpm::endorsement_key(shown.type, endorsement);
    CS_TRY(shown.key, read_public_area(device, key));
    CS_TRY(const tpm::PublicArea area, tpm::PublicArea::parse(shown.key));
    CS_TRY(const tpm::PublicKey public_key, tpm::PublicKey::from(area));
    if (!is_of(certificates, public_key)) continue;
    for (auto& der : certificates_in(chain)) certificates.push_back(std::move(der));
    for (const auto& der : certificates) {
      shown.certificates.insert(shown.certificates.end(), der.begin(), der.end());
    }
    return shown;
  }
  return Error(ErrorKind::not_found,
               "no endorsement key of this TPM has a certificate in it that can be read")
      .with_hint(
          "its maker may have put them on a web page; without, agree a policy with "
          "proof = \"optional\"");
}

}  // namespace cs::keyms
