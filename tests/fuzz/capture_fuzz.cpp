// SPDX-License-Identifier: GPL-3.0-or-later
// Any file as a capture, pcap or pcapng: what is told of it lies in it and within the limits, and
// what is found in its frames lies in the frames.
#include <array>
#include <cstdio>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tools/capture/reader.h"
#include "tools/packet/classify.h"

namespace {

using cs::fuzz::expect;
using namespace cs::capture;

void look_at(const Frame& frame, std::size_t file_size) {
  expect(frame.bytes.size() <= max_frame, "a frame above the limit");
  expect(frame.bytes.size() <= file_size, "more bytes than the file has");
  expect(frame.bytes.size() <= frame.original_size, "more bytes than on the wire");
  expect(frame.nanoseconds < 1'000'000'000, "more than a second in nanoseconds");
  const auto ip = find_ip(frame);
  expect(!ip || ip->offset + ip->size <= frame.bytes.size(), "a packet outside its frame");
  constexpr std::array<std::uint16_t, 1> ports{4500};
  const auto found = cs::packet::classify(frame, ports);
  expect((found.kind == cs::packet::Kind::ipsec) == (found.reason == cs::Reason::none),
         "IPsec with a reason against it, or the reverse");
  expect(ip || found.kind == cs::packet::Kind::passed, "IPsec without IP");
  expect(found.kind != cs::packet::Kind::cut || frame.is_cut(), "cut, and is all there");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;  // fmemopen() differs there
  std::vector<std::uint8_t> memory(data, data + size);
  File file(::fmemopen(memory.data(), size, "rb"));
  expect(file != nullptr, "no file in memory");
  auto reader = Reader::open(std::move(file));
  if (!reader.ok()) return 0;
  std::size_t frames = 0;
  for (;; ++frames) {
    Frame frame;
    const auto more = (*reader)->next(frame);
    if (!more.ok()) {
      const auto again = (*reader)->next(frame);
      expect(!again.ok() && again.error().message() == more.error().message(),
             "went on after an error");
      break;
    }
    if (!*more) break;
    look_at(frame, size);
  }
  expect(frames * 16 <= size, "more frames than headers");
  return 0;
}
