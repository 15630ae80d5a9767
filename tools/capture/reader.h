// SPDX-License-Identifier: GPL-3.0-or-later
// Capture files, pcap and pcapng, frame by frame. The file is hostile: nothing it tells is believed
// before it is held against a limit, and what is wrong is told with its offset.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "tools/capture/frame.h"
#include "tools/capture/input.h"

namespace cs::capture {

// What a pcap file is like, so that a copy can be of the same kind.
struct Format {
  std::uint32_t link = 1;  // the header's field: a Link, and in the upper bits the size of the FCS
  std::uint32_t snaplen = max_frame;
  bool big_endian = false;
  bool nanoseconds = true;
};

class Reader {
 public:
  // Fails unless it begins as one of the formats we read.
  [[nodiscard]] static Result<std::unique_ptr<Reader>> open(const std::string& path);
  [[nodiscard]] static Result<std::unique_ptr<Reader>> open(File file);

  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  Reader(Reader&&) = delete;
  Reader& operator=(Reader&&) = delete;
  virtual ~Reader() = default;

  // False at the end of the file. The frame's bytes stay until the next call. After an error it is
  // the same error again: what came before it is good.
  [[nodiscard]] Result<bool> next(Frame& out);
  // How a copy should be written. With pcapng it is known after the first next().
  [[nodiscard]] virtual Format format() const noexcept = 0;

 protected:
  explicit Reader(Input input) noexcept : input_(std::move(input)) {}
  [[nodiscard]] virtual Result<bool> read_next(Frame& out) = 0;
  [[nodiscard]] Input& input() noexcept { return input_; }

 private:
  Input input_;
  std::optional<Error> failed_;
};

// Numbers in the byte order the file was written in.
class Order {
 public:
  explicit Order(bool big_endian) noexcept : big_(big_endian) {}
  [[nodiscard]] bool is_big() const noexcept { return big_; }
  [[nodiscard]] bool u16(ByteReader& reader, std::uint16_t& out) const noexcept {
    return big_ ? reader.u16be(out) : reader.u16le(out);
  }
  [[nodiscard]] bool u32(ByteReader& reader, std::uint32_t& out) const noexcept {
    return big_ ? reader.u32be(out) : reader.u32le(out);
  }
  [[nodiscard]] bool u64(ByteReader& reader, std::uint64_t& out) const noexcept {
    return big_ ? reader.u64be(out) : reader.u64le(out);
  }

 private:
  bool big_;
};

// For Reader::open(), which has read `magic`, the first four bytes.
[[nodiscard]] bool is_pcap(std::uint32_t magic) noexcept;
[[nodiscard]] Result<std::unique_ptr<Reader>> open_pcap(Input input, std::uint32_t magic);
inline constexpr std::uint32_t pcapng_magic = 0x0a0d0d0a;
[[nodiscard]] Result<std::unique_ptr<Reader>> open_pcapng(Input input);

}  // namespace cs::capture
