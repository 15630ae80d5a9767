// SPDX-License-Identifier: GPL-3.0-or-later
// SHA256_Transform: one block without the bookkeeping, a third of the time of SHA256().
#define OPENSSL_SUPPRESS_DEPRECATED

#include "nfq-signer/hash.h"

// Its old names for constants are those of OpenSSL's functions.
#define NO_COMPAT_IMB_API_053
#include <intel-ipsec-mb.h>
#include <openssl/sha.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include "base/endian.h"
#include "base/panic.h"
#include "nfq-signer/wide.h"

namespace cs {

namespace {

struct Free {
  void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, Free>;

// Lanes of the library's AVX-512 code. Fewer packets than that cost as much as all, so few go the
// other way; of short messages fewer are worth it, the other way costs more.
constexpr std::size_t wide_lanes = 16;
constexpr std::size_t worth_going_wide = 10;
constexpr std::size_t short_worth_going_wide = 6;

}  // namespace

ShortMessage::ShortMessage(std::size_t size) noexcept : size_(size) {
  if (size > most) panic("ShortMessage: too long for one block");
  block_[size] = 0x80;
  store<std::endian::big>(std::uint64_t{size} * 8, std::span(block_).last<8>());
}

Digest ShortMessage::hash() const noexcept {
  // FIPS 180-4, 5.3.3. The rest of OpenSSL's struct is for messages in pieces.
  static constexpr std::array<SHA_LONG, 8> start{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  SHA256_CTX state;  // NOLINT(cppcoreguidelines-pro-type-member-init): only h is used
  std::copy(start.begin(), start.end(), std::begin(state.h));
  SHA256_Transform(&state, block_.data());
  Digest digest;
  for (std::size_t i = 0; i < start.size(); ++i) {
    store<std::endian::big>(std::uint32_t{state.h[i]}, std::span(digest).subspan(i * 4).first<4>());
  }
  return digest;
}

void ShortMessage::hash_all(std::span<const ShortMessage> messages,
                            std::span<Digest* const> out) noexcept {
  while (messages.size() >= short_worth_going_wide && wide::is_there()) {
    const std::size_t count = std::min(messages.size(), wide::hashes);
    std::array<const std::uint8_t*, wide::hashes> blocks{};
    std::array<std::uint8_t*, wide::hashes> places{};
    Digest unused;
    for (std::size_t i = 0; i < wide::hashes; ++i) {
      blocks[i] = messages[std::min(i, count - 1)].block_.data();
      places[i] = i < count ? out[i]->data() : unused.data();
    }
    wide::sha256(blocks, places);
    messages = messages.subspan(count);
    out = out.subspan(count);
  }
  for (std::size_t i = 0; i < messages.size(); ++i) *out[i] = messages[i].hash();
}

Digest sha256(ByteView message) noexcept {
  Digest digest;
  SHA256(message.data(), message.size(), digest.data());
  return digest;
}

struct PacketHasher::Engine {
  Manager wide;    // sixteen lanes; null: this processor has none
  Manager narrow;  // two lanes with SHA instructions, or the best there is
};

PacketHasher::PacketHasher(std::unique_ptr<Engine> engine, std::size_t capacity)
    : engine_(std::move(engine)), jobs_(capacity) {}
PacketHasher::PacketHasher(PacketHasher&&) noexcept = default;
PacketHasher& PacketHasher::operator=(PacketHasher&&) noexcept = default;
PacketHasher::~PacketHasher() = default;

Result<PacketHasher> PacketHasher::create(std::size_t capacity) {
  if (capacity == 0) return Error(ErrorKind::invalid, "making a packet hasher for 0 packets");
  auto engine = std::make_unique<Engine>();
  engine->narrow.reset(alloc_mb_mgr(0));
  engine->wide.reset(alloc_mb_mgr(0));
  if (!engine->narrow || !engine->wide)
    return Error(ErrorKind::limit, "allocating the multi-buffer manager");
  IMB_ARCH best = IMB_ARCH_NONE;
  init_mb_mgr_auto(engine->wide.get(), &best);
  const bool has_sha = (engine->narrow->features & IMB_FEATURE_SHANI) != 0;
  if (has_sha) {
    init_mb_mgr_sse(engine->narrow.get());
  } else {
    init_mb_mgr_auto(engine->narrow.get(), nullptr);
  }
  for (IMB_MGR* manager : {engine->wide.get(), engine->narrow.get()}) {
    if (const int error = imb_get_errno(manager); error != 0) {
      return Error(ErrorKind::unsupported,
                   std::string("starting the multi-buffer library: ") + imb_get_strerror(error));
    }
  }
  if (best != IMB_ARCH_AVX512) engine->wide.reset();
  return PacketHasher(std::move(engine), capacity);
}

void PacketHasher::add(const Layout& at, ByteSpan packet, Digest& out) noexcept {
  if (used_ == jobs_.size()) panic("PacketHasher: more packets than its capacity");
  // An IP header is in front of the payload, so there is room for the prefix.
  const ByteSpan message = packet.subspan(at.payload - 2);
  Job& job = jobs_[used_++];
  job = {message.data(), message.size(), &out, {message[0], message[1]}};
  message[0] = 0;
  message[1] = static_cast<std::uint8_t>(at.protocol);
}

namespace {

// Returns how many were hashed: all, unless the library is broken.
template <class Job>
std::size_t hash_all(IMB_MGR* manager, std::span<Job> jobs) noexcept {
  std::size_t done = 0;
  const auto count = [&done](const IMB_JOB* job) {
    if (job != nullptr && job->status == IMB_STATUS_COMPLETED) ++done;
    return job != nullptr;
  };
  for (const Job& wanted : jobs) {
    IMB_JOB* job = IMB_GET_NEXT_JOB(manager);
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_SHA_256;
    // NOLINTBEGIN(cppcoreguidelines-pro-type-union-access): the library's struct has unions
    job->src = wanted.start;
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = wanted.size;
    // NOLINTEND(cppcoreguidelines-pro-type-union-access)
    job->auth_tag_output = wanted.out->data();
    job->auth_tag_output_len_in_bytes = wanted.out->size();
    count(IMB_SUBMIT_JOB_NOCHECK(manager));
  }
  while (count(IMB_FLUSH_JOB(manager))) {
  }
  return done;
}

}  // namespace

void PacketHasher::run() noexcept {
  const std::span jobs = std::span(jobs_).first(used_);
  std::size_t wide = 0;
  if (engine_->wide) {
    const std::size_t rest = used_ % wide_lanes;
    wide = rest >= worth_going_wide ? used_ : used_ - rest;
  }
  std::size_t done = 0;
  if (wide != 0) done += hash_all(engine_->wide.get(), jobs.first(wide));
  done += hash_all(engine_->narrow.get(), jobs.subspan(wide));
  // A digest that was not written would be that of an earlier packet.
  if (done != used_) panic("PacketHasher: the multi-buffer library left packets out");
  for (const Job& job : jobs) std::copy(job.overwritten.begin(), job.overwritten.end(), job.start);
  used_ = 0;
}

}  // namespace cs
