// SPDX-License-Identifier: GPL-3.0-or-later
#include <sodium.h>

#include <algorithm>
#include <ostream>
#include <utility>

#include "base/rfc3339.h"
#include "nfq-signer/hash.h"
#include "nfq-signer/outbound.h"
#include "tools/packet/capture_pair.h"
#include "tools/packet/classify.h"
#include "tools/packet/packet.h"
#include "tools/packet/report.h"

namespace cs::packet {

namespace {

// What waits for its batch to fill, with all that came in between: a batch is closed early rather
// than taking more memory.
constexpr std::size_t max_waiting_bytes = std::size_t{64} * 1024 * 1024;
constexpr std::size_t cost_of_a_frame = 256;

struct Waiting {
  std::uint64_t number = 0;
  capture::Frame frame;
  std::vector<std::uint8_t> bytes;
  Classified found;

  [[nodiscard]] ByteSpan packet() {
    return ByteSpan(bytes).subspan(found.ip.offset, found.ip.size);
  }
};

class Signer {
 public:
  Signer(SigningKey signing, OutboundKey key, PacketHasher hasher, const SignOptions& options,
         CapturePair files, Report& report)
      : signing_(std::move(signing)),
        key_(std::move(key)),
        hasher_(std::move(hasher)),
        batch_(options.batch),
        files_(std::move(files)),
        report_(report),
        options_(options) {}

  // Errors are of the input: what came before them is signed and written.
  Result<void> run() {
    Result<void> ended = read_all();
    if (Result<void> signed_rest = flush(); !signed_rest.ok()) return signed_rest;
    if (Result<void> finished = files_.finish(); !finished.ok()) return finished;
    return ended;
  }

 private:
  Result<void> read_all() {
    for (;;) {
      capture::Frame frame;
      CS_TRY(const bool more, files_.next(frame));
      if (!more) return {};
      report_.frame();
      waiting_.push_back({report_.frames(),
                          frame,
                          {frame.bytes.begin(), frame.bytes.end()},
                          classify(frame, options_.udp_ports)});
      waiting_bytes_ += frame.bytes.size() + cost_of_a_frame;
      if (waiting_.back().found.kind == Kind::ipsec) ++to_sign_;
      if (to_sign_ == 0 || to_sign_ == options_.batch || waiting_bytes_ >= max_waiting_bytes)
        CS_CHECK(flush());
    }
  }

  Result<void> flush() {
    if (to_sign_ != 0) CS_CHECK(close_batch());
    std::size_t index = 0;
    for (Waiting& waiting : waiting_) {
      waiting.frame.bytes = waiting.bytes;
      if (waiting.found.kind == Kind::ipsec) {
        CS_CHECK(write_signed(waiting, index++));
      } else {
        CS_CHECK(write_as_it_is(waiting));
      }
    }
    waiting_.clear();
    waiting_bytes_ = to_sign_ = 0;
    return {};
  }

  Result<void> close_batch() {
    std::vector<Digest> digests(to_sign_);
    std::size_t index = 0;
    for (Waiting& waiting : waiting_) {
      if (waiting.found.kind == Kind::ipsec)
        hasher_.add(waiting.found.layout, waiting.packet(), digests[index++]);
    }
    hasher_.run();
    batch_.close(key_, digests);
    CS_TRY(const Signature signature, signing_.sign(batch_.statement()));
    batch_.set_signature(signature);
    return {};
  }

  Result<void> write_signed(Waiting& waiting, std::size_t index) {
    const Layout& at = waiting.found.layout;
    const ByteSpan packet = waiting.packet();
    std::vector<std::uint8_t> extension(batch_.extension_size(at, index));
    const bool is_translated = options_.translator_port != 0 && at.udp == 0;
    const std::size_t translation = is_translated ? translation_size : 0;
    Verdict verdict{waiting.number, check_growth(at, packet.size() + translation, extension.size()),
                    &waiting.frame, &waiting.found, nullptr};
    if (verdict.reason != Reason::none) {
      report_.packet(verdict);
      return files_.write(waiting.frame);
    }
    batch_.write_extension(index, {}, extension);
    const std::size_t more = translation + extension.size();
    std::vector<std::uint8_t> grown(waiting.bytes.size() + more);
    const std::size_t front = waiting.found.ip.offset;
    const ByteView trailer = ByteView(waiting.bytes).subspan(front + packet.size());
    std::copy_n(waiting.bytes.begin(), front, grown.begin());
    const ByteSpan room = ByteSpan(grown).subspan(front, packet.size() + more);
    insert_extension(at, packet, extension, room.subspan(translation));
    if (is_translated) translate(at, options_.translator_port, room);
    std::copy(trailer.begin(), trailer.end(), grown.end() - std::ssize(trailer));
    report_.count(verdict);
    capture::Frame frame = waiting.frame;
    frame.bytes = grown;
    frame.original_size += static_cast<std::uint32_t>(more);
    return files_.write(frame);
  }

  Result<void> write_as_it_is(const Waiting& waiting) {
    if (waiting.found.kind == Kind::passed) {
      report_.passed();
    } else {
      report_.packet(
          {waiting.number, waiting.found.reason, &waiting.frame, &waiting.found, nullptr});
    }
    return files_.write(waiting.frame);
  }

  SigningKey signing_;
  OutboundKey key_;
  PacketHasher hasher_;
  OutboundBatch batch_;
  CapturePair files_;
  Report& report_;
  const SignOptions& options_;
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::size_t to_sign_ = 0;
};

}  // namespace

Result<Outcome> sign(const SignOptions& options, const Clock& clock, std::ostream& report,
                     std::ostream& errors) {
  if (sodium_init() < 0) return Error(ErrorKind::internal, "starting libsodium");
  const Now now = Now::read(clock);
  CS_TRY(PrivateKeyFile file, read_private_key_file(options.key));
  CS_TRY(SigningKey signing, SigningKey::load(file.record.scope.suite, file.private_key));
  const std::uint16_t lane = options.lane.value_or(file.record.lanes.first);
  CS_TRY(OutboundKey key, make_outbound_key(std::move(file), lane, now));
  if (key.end().is_over(now)) {
    return Error(ErrorKind::denied, "key " + std::to_string(key.scope().key) + " ended at " +
                                        format_rfc3339(key.end().not_after))
        .with_hint("make a new one: countersign key make");
  }
  CS_TRY(PacketHasher hasher, PacketHasher::create(options.batch));
  CS_TRY(CapturePair files, CapturePair::open(options.in, options.out));
  Report told(report, false, "signed");
  Signer signer(std::move(signing), std::move(key), std::move(hasher), options, std::move(files),
                told);
  const Result<void> ended = signer.run();
  told.finish({});
  if (!ended.ok()) {
    errors << "countersign: " << ended.error().message() << '\n';
    return Outcome::failed;
  }
  return told.some_refused() ? Outcome::some_refused : Outcome::all_good;
}

}  // namespace cs::packet
