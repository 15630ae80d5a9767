// SPDX-License-Identifier: GPL-3.0-or-later
#include "tpm/certificates/manufacturer.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace cs::tpm {

namespace {

struct Manufacturer {
  std::uint32_t id;
  std::string_view name;
};
constexpr std::array manufacturers{
    Manufacturer{0x00001014, "IBM (swtpm)"},  // what software TPMs say of themselves
    Manufacturer{0x414d4400, "AMD"},
    Manufacturer{0x414e5400, "Ant Group"},
    Manufacturer{0x41544d4c, "Atmel"},
    Manufacturer{0x4252434d, "Broadcom"},
    Manufacturer{0x4353434f, "Cisco"},
    Manufacturer{0x464c5953, "Flyslice Technologies"},
    Manufacturer{0x474f4f47, "Google"},
    Manufacturer{0x48495349, "Huawei"},
    Manufacturer{0x48504500, "HPE"},
    Manufacturer{0x48504900, "HP"},
    Manufacturer{0x49424d00, "IBM"},
    Manufacturer{0x49465800, "Infineon"},
    Manufacturer{0x494e5443, "Intel"},
    Manufacturer{0x4c454e00, "Lenovo"},
    Manufacturer{0x4d534654, "Microsoft"},
    Manufacturer{0x4e534d20, "National Semiconductor"},
    Manufacturer{0x4e544300, "Nuvoton"},
    Manufacturer{0x4e545a00, "Nationz"},
    Manufacturer{0x51434f4d, "Qualcomm"},
    Manufacturer{0x524f4343, "Rockchip"},
    Manufacturer{0x5345414c, "WiseKey"},
    Manufacturer{0x534d534e, "Samsung"},
    Manufacturer{0x534d5343, "SMSC"},
    Manufacturer{0x534e5300, "Sinosun"},
    Manufacturer{0x53544d20, "STMicroelectronics"},
    Manufacturer{0x54584e00, "Texas Instruments"},
    Manufacturer{0x57454300, "Winbond"},
};

}  // namespace

std::optional<std::string_view> manufacturer_name(std::uint32_t id) noexcept {
  const auto* const row = std::ranges::find(manufacturers, id, &Manufacturer::id);
  if (row == manufacturers.end()) return {};
  return row->name;
}

std::optional<std::string_view> manufacturer_name(std::string_view text) noexcept {
  if (text.size() != 11 || !text.starts_with("id:")) return {};
  std::uint32_t id = 0;
  const auto [end, failure] = std::from_chars(text.data() + 3, text.data() + text.size(), id, 16);
  if (failure != std::errc{} || end != text.data() + text.size()) return {};
  return manufacturer_name(id);
}

}  // namespace cs::tpm
