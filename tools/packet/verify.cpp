// SPDX-License-Identifier: GPL-3.0-or-later
#include <sodium.h>

#include <algorithm>
#include <ostream>
#include <utility>

#include "nfq-signer/hash.h"
#include "nfq-signer/inbound.h"
#include "tools/packet/capture_pair.h"
#include "tools/packet/classify.h"
#include "tools/packet/packet.h"
#include "tools/packet/report.h"

namespace cs::packet {

namespace {

// Offline we have time to compute a path again, and a key may have had many lanes.
constexpr Verifier::Options verifier_options{
    .window = 64, .cached_nodes = 64, .max_keys = 64, .max_lanes = 4096};

class Checker {
 public:
  Checker(Verifier verifier, PacketHasher hasher, const Now& now, const VerifyOptions& options,
          CapturePair files, Report& report)
      : verifier_(std::move(verifier)),
        hasher_(std::move(hasher)),
        now_(now),
        files_(std::move(files)),
        report_(report),
        options_(options) {}

  // Errors are of the input: what came before them is told and written.
  Result<void> run() {
    Result<void> ended = read_all();
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
      const Reason reason = translate_back(options_.translator_port, frame, translated_);
      Classified found = classify(frame, options_.udp_ports, options_.translator_port);
      if (reason != Reason::none) {
        found.kind = Kind::refused;
        found.reason = reason;
      }
      if (found.kind == Kind::passed) {
        report_.passed();
        CS_CHECK(files_.write(frame));
      } else if (found.kind == Kind::ipsec) {
        CS_CHECK(check(frame, found));
      } else {
        report_.packet({report_.frames(), found.reason, &frame, &found, nullptr});
      }
    }
  }

  // The bytes of the frame stay as they are, for the candidate views them; stripped is a copy.
  Result<void> check(const capture::Frame& frame, const Classified& found) {
    const Layout& at = found.layout;
    Verifier::Candidate candidate;
    Verdict verdict{report_.frames(), Reason::none, &frame, &found, nullptr};
    const ByteView packet = frame.bytes.subspan(found.ip.offset, found.ip.size);
    verdict.reason = verifier_.admit(at, packet, now_, candidate);
    if (verdict.reason != Reason::no_extension) verdict.extension = &candidate.extension.fields;
    if (verdict.reason != Reason::none) {
      report_.packet(verdict);
      return {};
    }
    copy_.assign(packet.begin(), packet.end());
    const ExtensionFields& fields = candidate.extension.fields;
    const ByteSpan stripped =
        remove_extension(at, copy_, candidate.extension.all.size(), fields.original);
    hasher_.add(at, stripped, candidate.digest);
    hasher_.run();
    verdict.reason = verifier_.verify(candidate);
    report_.packet(verdict);
    return verdict.reason == Reason::none ? write_stripped(frame, found, stripped) : Result<void>();
  }

  Result<void> write_stripped(const capture::Frame& frame, const Classified& found,
                              ByteView stripped) {
    const ByteView trailer = frame.bytes.subspan(found.ip.offset + found.ip.size);
    out_.assign(frame.bytes.begin(),
                frame.bytes.begin() + static_cast<std::ptrdiff_t>(found.ip.offset));
    out_.insert(out_.end(), stripped.begin(), stripped.end());
    out_.insert(out_.end(), trailer.begin(), trailer.end());
    capture::Frame shorter = frame;
    shorter.bytes = out_;
    shorter.original_size -= static_cast<std::uint32_t>(frame.bytes.size() - out_.size());
    return files_.write(shorter);
  }

  Verifier verifier_;
  PacketHasher hasher_;
  Now now_;
  CapturePair files_;
  Report& report_;
  const VerifyOptions& options_;
  std::vector<std::uint8_t> translated_;
  std::vector<std::uint8_t> copy_;
  std::vector<std::uint8_t> out_;
};

Result<Verifier> load_keys(const VerifyOptions& options, const Now& now) {
  Verifier verifier(verifier_options);
  for (const std::string& path : options.keys) {
    const auto context = [&] { return "the key file " + path; };
    CS_TRY(PublicKeyFile file, read_public_key_file(path));
    auto key = make_inbound_key(std::move(file), now).context(context);
    CS_TRY(InboundKey loaded, std::move(key));
    CS_CHECK(verifier.add_key(std::move(loaded)).context(context));
  }
  return verifier;
}

}  // namespace

Result<Outcome> verify(const VerifyOptions& options, const Clock& clock, std::ostream& report,
                       std::ostream& errors) {
  if (sodium_init() < 0) return Error(ErrorKind::internal, "starting libsodium");
  Now now = Now::read(clock);
  if (options.at) now.wall = *options.at;
  CS_TRY(Verifier verifier, load_keys(options, now));
  CS_TRY(PacketHasher hasher, PacketHasher::create(1));
  CS_TRY(CapturePair files, CapturePair::open(options.in, options.out));
  Report told(report, options.json, "verified");
  Checker checker(std::move(verifier), std::move(hasher), now, options, std::move(files), told);
  const Result<void> ended = checker.run();
  if (ended.ok()) {
    told.finish({});
    return told.some_refused() ? Outcome::some_refused : Outcome::all_good;
  }
  told.finish(ended.error().message());
  errors << "countersign: " << ended.error().message() << '\n';
  return Outcome::failed;
}

}  // namespace cs::packet
