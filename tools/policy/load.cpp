// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/policy/load.h"

#include <algorithm>
#include <fstream>

#include "keyms/policy/encode.h"
#include "keyms/policy/toml.h"
#include "tpm/small_file.h"

namespace cs::policy {
namespace {

// Both binary forms are maps: a policy has nine pairs or ten, an agreement four at most. No text
// begins with either.
constexpr std::uint8_t map = 0xa0;
constexpr std::uint8_t most_pairs_of_agreement = 4;

Result<keyms::CorePolicy> read(const std::vector<std::uint8_t>& bytes, const std::string& name,
                               Loaded& out) {
  const std::uint8_t first = bytes.empty() ? std::uint8_t{0} : bytes.front();
  if (first < map || first > map + 0x1f) {
    return keyms::parse_toml_policy({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                    name);
  }
  if (first > map + most_pairs_of_agreement) {
    return keyms::decode_policy(bytes).context(name);
  }
  CS_TRY(const keyms::AgreementFile file, keyms::decode_agreement(bytes).context(name));
  CS_TRY(out.signatures, keyms::verify(file).context(name));
  return out.signatures->policy;
}

}  // namespace

bool is_of_content(const Error& error) noexcept {
  constexpr std::array kinds{ErrorKind::invalid, ErrorKind::limit, ErrorKind::truncated,
                             ErrorKind::unsupported, ErrorKind::unverified};
  return error.os_error() == 0 && std::ranges::find(kinds, error.kind()) != kinds.end();
}

Result<Loaded> load(const std::string& file) {
  CS_TRY(const auto bytes, tpm::read_small_file(file, keyms::max_toml));
  Loaded out;
  CS_TRY(out.policy, read(bytes, file == "-" ? "standard input" : file, out));
  CS_TRY(out.encoded, keyms::encode(out.policy).context(file));
  out.value = keyms::core_properties_value(out.encoded);
  return out;
}

Result<void> save(const std::string& file, ByteView bytes) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) return Error(ErrorKind::io, "writing " + file);
  return {};
}

}  // namespace cs::policy
