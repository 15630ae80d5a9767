// SPDX-License-Identifier: GPL-3.0-or-later
// Boot logs for tests, made event by event.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_writer.h"
#include "tests/support/unwrap.h"
#include "tests/unit/log_bytes.h"
#include "tpm/logs/boot_log.h"

namespace cs::test {

class BootLogMaker {
 public:
  using Type = tpm::BootEventType;
  // Number and size of each; the sizes need not be right.
  using Algorithms = std::vector<std::pair<std::uint16_t, std::uint16_t>>;

  static BootLogMaker old_form() { return BootLogMaker({}); }
  static BootLogMaker agile(Algorithms algorithms = {{0x0004, 20}, {0x000b, 32}}) {
    BootLogMaker log(std::move(algorithms));
    ByteBuilder header(4096);
    header.bytes(bytes_of("Spec ID Event03")).u8(0).u32le(0).u8(0).u8(2).u8(105).u8(2);
    header.u32le(static_cast<std::uint32_t>(log.algorithms_.size()));
    for (const auto& [number, size] : log.algorithms_) header.u16le(number).u16le(size);
    log.put_old(0, Type::no_action, Bytes(20), get(header.u8(0).finish("a header")));
    return log;
  }

  // An event whose digests are those of `data`; of an algorithm we do not know, zeros.
  BootLogMaker& add(std::uint32_t pcr, Type type, std::string_view data) {
    return add(pcr, type, bytes_of(data), bytes_of(data));
  }
  BootLogMaker& add(std::uint32_t pcr, Type type, const Bytes& data, const Bytes& hashed) {
    if (algorithms_.empty()) {
      return put_old(pcr, type, digest(0x0004, 20, hashed), data);
    }
    ByteBuilder event(most);
    event.u32le(pcr).u32le(static_cast<std::uint32_t>(type));
    event.u32le(static_cast<std::uint32_t>(algorithms_.size()));
    for (const auto& [number, size] : algorithms_) {
      event.u16le(number).bytes(digest(number, size, hashed));
    }
    return put(get(event.vec32le(data).finish("an event")));
  }
  BootLogMaker& put_old(std::uint32_t pcr, Type type, const Bytes& sha1, const Bytes& data) {
    ByteBuilder event(most);
    event.u32le(pcr).u32le(static_cast<std::uint32_t>(type)).bytes(sha1).vec32le(data);
    return put(get(event.finish("an event")));
  }
  BootLogMaker& put(const Bytes& raw) {
    borders.push_back(bytes.size());
    bytes.insert(bytes.end(), raw.begin(), raw.end());
    return *this;
  }

  static constexpr std::size_t most = std::size_t{4} * 1024 * 1024;
  Bytes bytes;
  std::vector<std::size_t> borders;  // where each event begins

 private:
  explicit BootLogMaker(Algorithms algorithms) : algorithms_(std::move(algorithms)) {}
  static Bytes digest(std::uint16_t number, std::uint16_t size, const Bytes& hashed) {
    const auto known = tpm::hash_algorithm(number);
    if (!known) return Bytes(size);
    const auto digest = tpm::Hasher(*known).hash({hashed});
    return {digest.bytes().begin(), digest.bytes().end()};
  }
  Algorithms algorithms_;
};

// Three PCRs, five events behind the header, which is event 0.
inline BootLogMaker small_boot_log() {
  using Type = tpm::BootEventType;
  return BootLogMaker::agile()
      .add(0, Type::s_crtm_version, "one")
      .add(4, Type::efi_action, "Calling EFI Application from Boot Option")
      .add(7, Type::efi_variable_driver_config, "secure")
      .add(0, Type::separator, {"\0\0\0\0", 4})
      .add(0, Type::efi_platform_firmware_blob, "blob");
}

}  // namespace cs::test
