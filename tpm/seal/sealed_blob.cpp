// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/seal/sealed_blob.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "tpm/evidence/name.h"
#include "tpm/evidence/policy.h"

namespace cs::tpm {

namespace {

constexpr std::string_view what = "sealed data";
constexpr std::array<std::uint8_t, 8> magic{'C', 'S', 's', 'e', 'a', 'l', 0, 1};
constexpr std::uint8_t by_pcrs = 1;
constexpr std::uint8_t by_approval = 2;
constexpr std::size_t most_public = 1024;
constexpr std::size_t most_private = 1024;

Error wrong(ErrorKind kind, const std::string& why) {
  return {kind, "reading sealed data: " + why};
}

Result<SealPolicy> read_policy(ByteReader& in) {
  std::uint8_t kind = 0;
  std::uint8_t auth = 0;
  if (!in.u8(kind) || !in.u8(auth)) return in.failure(what);
  if (auth > 1) return wrong(ErrorKind::invalid, "at offset 17 neither 0 nor 1");
  if (kind == by_pcrs) {
    CS_TRY(PcrState state, PcrState::read(in).context("reading sealed data"));
    return SealPolicy{std::move(state), {}, auth == 1};
  }
  if (kind != by_approval) {
    return wrong(ErrorKind::unsupported,
                 "at offset 16 a policy of kind " + std::to_string(kind) + ", known are 1 and 2");
  }
  ByteView area;
  Digest reference(HashAlgorithm::sha256);
  if (!in.vec16be(most_public, area) || !in.copy_to(reference.bytes())) return in.failure(what);
  CS_TRY(PublicArea approver, PublicArea::parse(area).context("reading sealed data: its approver"));
  return SealPolicy{{}, SealPolicy::Approved{std::move(approver), reference}, auth == 1};
}

void write_policy(ByteBuilder& out, const SealPolicy& policy) {
  out.u8(policy.approved ? by_approval : by_pcrs).u8(policy.auth_value ? 1 : 0);
  if (!policy.approved) return policy.state.write(out);
  out.vec16be(policy.approved->approver.encode()).bytes(policy.approved->reference.bytes());
}

// Made by nobody else than us: whoever made it otherwise could get at the key otherwise.
Result<void> check_object(const PublicArea& object, const SealPolicy& policy) {
  if (object.type != Algorithm::keyedhash || object.name_algorithm != HashAlgorithm::sha256 ||
      object.scheme != Scheme{}) {
    return wrong(ErrorKind::invalid, "its object is no sealed data");
  }
  const std::uint32_t attributes = sealed_attributes(policy.auth_value);
  if (object.attributes != attributes) {
    return wrong(ErrorKind::invalid, "its object is " + attribute_words(object.attributes) +
                                         ", not " + attribute_words(attributes));
  }
  if (std::ranges::equal(object.policy, policy.digest().bytes())) return {};
  return wrong(ErrorKind::invalid, "its object has another policy than it says");
}

Result<SealedHeader> read_header(ByteReader& in) {
  std::array<std::uint8_t, magic.size()> begin{};
  std::uint64_t generation = 0;
  if (!in.copy_to(begin)) return in.failure(what);
  if (begin != magic) {
    const bool later = std::ranges::equal(std::span(begin).first(6), std::span(magic).first(6));
    return later ? wrong(ErrorKind::unsupported, "at offset 6 a version that is not known here")
                 : wrong(ErrorKind::invalid, "it does not begin as sealed data does");
  }
  if (!in.u64be(generation)) return in.failure(what);
  CS_TRY(SealPolicy policy, read_policy(in));
  CS_TRY(Name parent, read_name(in, what));
  ByteView area;
  ByteView private_part;
  SealedHeader header{generation, std::move(parent), std::move(policy), {}, {}, {}};
  if (!in.vec16be(most_public, area) || !in.vec16be(most_private, private_part) ||
      !in.copy_to(header.nonce)) {
    return in.failure(what);
  }
  CS_TRY(header.object, PublicArea::parse(area).context("reading sealed data: its object"));
  CS_CHECK(check_object(header.object, header.policy));
  header.private_part.assign(private_part.begin(), private_part.end());
  return header;
}

}  // namespace

Digest SealPolicy::digest() const {
  Policy policy(HashAlgorithm::sha256);
  if (approved) {
    policy.authorize(name_of(approved->approver), approved->reference.bytes());
  } else {
    policy.pcr(state.selection(), state.composite());
  }
  if (auth_value) policy.auth_value();
  return policy.digest();
}

std::uint32_t sealed_attributes(bool auth_value) noexcept {
  constexpr std::uint32_t always =
      attribute::fixed_tpm | attribute::fixed_parent | attribute::admin_with_policy;
  return auth_value ? always : always | attribute::no_da;
}

Result<Bytes> SealedHeader::encode(std::size_t data_size) const {
  if (data_size > most_sealed_data) {
    return Error(ErrorKind::limit, "sealing " + std::to_string(data_size) + " bytes, at most " +
                                       std::to_string(most_sealed_data));
  }
  ByteBuilder out(SealedBlob::most_header);
  out.bytes(magic).u64be(generation);
  write_policy(out, policy);
  out.vec16be(parent.bytes).vec16be(object.encode()).vec16be(private_part).bytes(nonce);
  return out.u32be(static_cast<std::uint32_t>(data_size)).finish("sealed data");
}

Result<SealedBlob> SealedBlob::parse(ByteView bytes) {
  ByteReader in(bytes);
  CS_TRY(SealedHeader header, read_header(in));
  ByteView ciphertext;
  ByteView tag;
  std::uint32_t size = 0;
  if (!in.u32be(size)) return in.failure(what);
  const ByteView associated = bytes.first(in.position());
  if (size > most_sealed_data) {
    return wrong(ErrorKind::limit, std::to_string(size) + " bytes of data, at most " +
                                       std::to_string(most_sealed_data));
  }
  if (!in.take(size, ciphertext) || !in.take(tag_size, tag) || !in.expect_end()) {
    return in.failure(what);
  }
  return SealedBlob{std::move(header), associated, ciphertext, tag};
}

}  // namespace cs::tpm
