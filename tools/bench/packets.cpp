// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/packets.h"

#include <sodium.h>

#include <algorithm>
#include <array>

#include "base/byte_writer.h"
#include "base/panic.h"

namespace cs::bench {

namespace {

constexpr std::uint32_t key_id = 0x62656e63;
constexpr std::size_t plain_at_most = 2048;
constexpr std::size_t ah_icv = 12;  // makes the AH header a multiple of 8, as IPv6 wants it

std::uint16_t header_checksum(ByteView header) noexcept {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < header.size(); i += 2) sum += header[i] * 256U + header[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

void write_ip_header(const Options& options, Target target, std::size_t queue, ByteSpan packet) {
  const auto from = sender_address(options.ipv6);
  const auto to = target_address(options.ipv6, target, queue);
  const auto protocol = static_cast<std::uint8_t>(options.protocol);
  ByteWriter writer(packet);
  if (options.ipv6) {
    writer.u32be(0x60000000).u16be(static_cast<std::uint16_t>(packet.size() - 40));
    writer.u8(protocol).u8(64).bytes(from).bytes(to);
    return;
  }
  // An identification that is not 0, or the kernel would write one.
  writer.u16be(0x4500).u16be(static_cast<std::uint16_t>(packet.size())).u16be(1).u16be(0x4000);
  writer.u8(64).u8(protocol).u16be(0).bytes(from).bytes(to);
  const std::uint16_t checksum = header_checksum(packet.first(20));
  ByteWriter(packet.subspan(10, 2)).u16be(checksum);
}

// Of a packet made here.
Layout layout_of(ByteView packet) {
  Layout at;
  if (find_layout(packet, {}, at) != Reason::none) panic("nfq-bench made a packet that is none");
  return at;
}

}  // namespace

PacketSet make_packets(const Options& options, Target target, std::size_t count) {
  PacketSet set;
  set.reserve(count, options.size);
  const std::size_t header = options.ipv6 ? 40 : 20;
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan packet = set.add(options.size);
    randombytes_buf(packet.data(), packet.size());
    write_ip_header(options, target, queue_of(options, i), packet);
    ByteWriter writer(packet.subspan(header));
    const auto spi = static_cast<std::uint32_t>(0x1000 + queue_of(options, i));
    if (options.protocol == Protocol::ah)
      writer.u8(options.ipv6 ? 41 : 4).u8((12 + ah_icv) / 4 - 2).u16be(0);
    writer.u32be(spi).u32be(static_cast<std::uint32_t>(i));
  }
  return set;
}

Result<Keys> Keys::create(Suite suite) {
  CS_TRY(SecretBytes private_key, SecretBytes::create(SigningKey::private_size));
  CS_TRY(SecretBytes gate, SecretBytes::create(Gate::secret_size));
  randombytes_buf(private_key.bytes().data(), private_key.size());
  randombytes_buf(gate.bytes().data(), gate.size());
  Keys keys(std::move(private_key), std::move(gate));
  keys.scope_.suite = suite;
  keys.scope_.key = key_id;
  randombytes_buf(keys.scope_.session.data(), keys.scope_.session.size());
  randombytes_buf(keys.scope_.pcr_digest.data(), keys.scope_.pcr_digest.size());
  return keys;
}

Result<OutboundKey> Keys::outbound(std::uint16_t lane) const {
  CS_TRY(SecretBytes gate, SecretBytes::copy_of(gate_.bytes()));
  return OutboundKey(scope_, Gate(std::move(gate)), lane, {WallTime::max(), BootTime::max()});
}

Result<InboundKey> Keys::inbound(std::size_t lanes) const {
  CS_TRY(const SigningKey own, signing());
  return inbound(lanes, own.public_key());
}

Result<InboundKey> Keys::inbound(std::size_t lanes, ByteView public_key) const {
  CS_TRY(VerifyingKey verifying, VerifyingKey::load(scope_.suite, public_key));
  CS_TRY(SecretBytes gate, SecretBytes::copy_of(gate_.bytes()));
  return InboundKey{scope_,
                    std::move(verifying),
                    Gate(std::move(gate)),
                    {0, static_cast<std::uint16_t>(lanes - 1)},
                    {WallTime::max(), BootTime::max()}};
}

Feed::Feed(const Options& options, Contents contents, SigningKey signing, PacketHasher hasher)
    : options_(&options),
      contents_(contents),
      signing_(std::move(signing)),
      hasher_(std::move(hasher)),
      batch_(options.batch),
      digests_(options.batch) {}

Result<Feed> Feed::create(const Options& options, const Keys& keys, Contents contents) {
  CS_TRY(SigningKey signing, keys.signing());
  CS_TRY(PacketHasher hasher, PacketHasher::create(options.batch));
  Feed feed(options, contents, std::move(signing), std::move(hasher));
  for (std::size_t lane = 0; lane < options.queues; ++lane) {
    CS_TRY(OutboundKey key, keys.outbound(static_cast<std::uint16_t>(lane)));
    feed.lanes_.push_back(std::move(key));
  }
  return feed;
}

Result<void> Feed::fill(Target target, std::size_t count, PacketSet& out) {
  const std::size_t whole = options_->batch * options_->queues;
  const std::size_t most = std::max<std::size_t>(1, plain_at_most / whole) * whole;
  const std::size_t distinct = contents_ == Contents::plain ? count : std::min(count, most);
  if (plain_.size() != distinct || plain_target_ != target) {
    plain_ = make_packets(*options_, target, distinct);
    plain_target_ = target;
    out.clear();
  }
  if (!is_once() && out.size() == count) return {};
  if (contents_ == Contents::plain) {
    out = plain_;
    return {};
  }
  out.clear();
  out.reserve(count, options_->size + fixed_extension + 96);
  for (std::size_t i = 0; i < count; i += options_->batch)
    CS_CHECK(sign_batch(i, std::min(options_->batch, count - i), out));
  if (contents_ == Contents::with_signature) return {};
  const std::size_t step = contents_ == Contents::half_forged ? 2 : 1;
  for (std::size_t i = 0; i < count; i += step) {
    const ByteSpan packet = out.at(i);
    // The last byte of the tag, before kind and words: all else is as it should be.
    packet[layout_of(packet).end_of_icv(packet.size()) - 3] ^= 1U;
  }
  return {};
}

Result<void> Feed::sign_batch(std::size_t first, std::size_t count, PacketSet& out) {
  const Layout at = layout_of(plain_.at(first % plain_.size()));
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan packet = plain_.at((first + i) % plain_.size());
    ByteWriter(packet.subspan(at.payload + sequence_offset(at.protocol)))
        .u32be(static_cast<std::uint32_t>(first + i));
    hasher_.add(at, packet, digests_[i]);
  }
  hasher_.run();
  batch_.close(lanes_[queue_of(*options_, first)], std::span(digests_).first(count));
  CS_TRY(const Signature signature, signing_.sign(batch_.statement()));
  batch_.set_signature(signature);
  std::array<std::uint8_t, max_extension> memory{};
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan extension = ByteSpan(memory).first(batch_.extension_size(at, i));
    batch_.write_extension(i, {}, extension);
    const ByteView packet = plain_.at((first + i) % plain_.size());
    insert_extension(at, packet, extension, out.add(packet.size() + extension.size()));
  }
  return {};
}

}  // namespace cs::bench
