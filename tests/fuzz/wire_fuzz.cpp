// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a packet: what is found in it lies within it, and what can be taken out goes back
// in.
#include <array>
#include <vector>

#include "nfq-signer/extension.h"
#include "nfq-signer/packet.h"
#include "tests/fuzz/fuzz.h"

using namespace cs;
using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  Layout at;
  if (find_layout(input, {}, at) != Reason::none) return 0;
  expect(at.payload >= 20 && at.end_of_icv(input.size()) <= input.size(),
         "a layout outside the packet");
  Extension extension;
  if (parse_extension(at, input, extension) != Reason::none) return 0;

  const std::vector<std::uint8_t> copy(extension.all.begin(), extension.all.end());
  std::vector<std::uint8_t> packet(input.begin(), input.end());
  const ByteSpan stripped = remove_extension(at, packet, copy.size(), {});
  const std::vector<std::uint8_t> before(stripped.begin(), stripped.end());
  Layout at_before;
  expect(find_layout(before, {}, at_before) == Reason::none,
         "does not parse without its extension");
  expect(extension_size(at_before, extension.fields) == copy.size(), "another size of extension");
  expect(check_growth(at_before, before.size(), copy.size()) == Reason::none, "cannot be put back");
  std::vector<std::uint8_t> again(input.size());
  insert_extension(at_before, before, copy, again);
  const ByteSpan twice = remove_extension(at, again, copy.size(), {});
  expect(std::vector<std::uint8_t>(twice.begin(), twice.end()) == before,
         "not the same when put back");

  std::vector<std::uint8_t> written(copy.size());
  const ExtensionParts parts = write_fields(extension.fields, written);
  const auto fill = [](ByteView from, ByteSpan to) {
    std::copy(from.begin(), from.end(), to.begin());
  };
  fill(ByteView(copy).first(extension.path.size()), parts.path);
  fill(ByteView(copy).last(112).first(64), parts.signature);
  fill(ByteView(copy).last(48).first(16), parts.salt);
  fill(ByteView(copy).last(10).first(8), parts.tag);
  expect(written == copy, "written otherwise than read");
  return 0;
}
