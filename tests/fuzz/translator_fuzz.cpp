// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a datagram to the translator's port: what it was made from is within it, and
// translated again it comes out the same.
#include <algorithm>
#include <vector>

#include "nfq-signer/packet.h"
#include "tests/fuzz/fuzz.h"

using namespace cs;
using cs::fuzz::expect;

namespace {

constexpr std::uint16_t port = 4510;

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  std::vector<std::uint8_t> packet(input.begin(), input.end());
  ByteSpan inside = packet;
  const Reason reason = translate_back(port, inside);
  if (reason != Reason::none || inside.size() == size) {
    expect(std::equal(inside.begin(), inside.end(), input.begin(), input.end()),
           "changed, though nothing was translated back");
    return 0;
  }
  expect(inside.size() + translation_size == size, "another size");
  Layout at;
  if (find_layout(inside, {}, at) != Reason::none) return 0;
  expect(at.udp == 0, "UDP came out of it");

  std::vector<std::uint8_t> again(size);
  std::copy(inside.begin(), inside.end(), again.begin() + translation_size);
  translate(at, port, again);
  ByteSpan twice = again;
  expect(translate_back(port, twice) == Reason::none, "refused what it made itself");
  expect(std::equal(twice.begin(), twice.end(), inside.begin(), inside.end()),
         "not the same when translated again");
  return 0;
}
