// SPDX-License-Identifier: GPL-3.0-or-later
// The words of a network engineer for what the kernel has; the same in every command and log line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "xfrm/state/model.h"

namespace cs::xfrm {

[[nodiscard]] std::string_view text(Direction direction) noexcept;  // "in", "socket out"
[[nodiscard]] std::string_view text(Mode mode) noexcept;            // "tunnel"
[[nodiscard]] std::string_view text(Action action) noexcept;        // "block"
[[nodiscard]] std::string_view text(Event::Kind kind) noexcept;     // "SA expired"

// "ESP", "AH", "IPComp", "any", "protocol 99": of a template or an SA.
[[nodiscard]] std::string ipsec_protocol(std::uint8_t protocol);
// "10.1.0.0/16 → 10.2.0.0/16 tcp port 22 → any", as short as it goes.
[[nodiscard]] std::string text(const Selector& selector);
[[nodiscard]] std::string spi_text(std::uint32_t spi);       // "0xc0ffee01", always 8 digits
[[nodiscard]] std::string text(const Mark& mark);            // "0x10000/0x10000"
[[nodiscard]] std::string text(const Algorithm& algorithm);  // "rfc4106(gcm(aes)) 288 bit, ICV 128"
// "ESP 192.0.2.1 → 192.0.2.2 SPI 0xc0ffee01"
[[nodiscard]] std::string name_of(const Sa& sa);
// By the names `ip xfrm` has for them.
[[nodiscard]] std::vector<std::string> flag_names(const Sa& sa);
// "policy out 10.1.0.0/16 → 10.2.0.0/16"
[[nodiscard]] std::string name_of(const Policy& policy);

// Every field, for a person: some lines, each indented, the last one ended.
[[nodiscard]] std::string describe(const Sa& sa);
[[nodiscard]] std::string describe(const Policy& policy);

}  // namespace cs::xfrm
