// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/capture/reader.h"

#include <array>
#include <cerrno>
#include <utility>

namespace cs::capture {

Result<std::unique_ptr<Reader>> Reader::open(const std::string& path) {
  File file(std::fopen(path.c_str(), "rbe"));
  if (!file) return from_errno(errno, "opening it");
  return open(std::move(file));
}

Result<std::unique_ptr<Reader>> Reader::open(File file) {
  Input input(std::move(file));
  std::array<std::uint8_t, 4> first{};
  CS_CHECK(input.read_all(first, "the magic number"));
  const auto magic = load<std::endian::big, std::uint32_t>(first);
  if (is_pcap(magic)) return open_pcap(std::move(input), magic);
  if (magic == pcapng_magic) return open_pcapng(std::move(input));
  Error error(ErrorKind::invalid, "it is neither pcap nor pcapng");
  if (first[0] == 0x1f && first[1] == 0x8b)
    return std::move(error).with_hint("it is compressed: use gunzip first");
  return error;
}

Result<bool> Reader::next(Frame& out) {
  if (failed_) return *failed_;
  auto result = read_next(out);
  if (!result.ok()) failed_ = result.error();
  return result;
}

}  // namespace cs::capture
