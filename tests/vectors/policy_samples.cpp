// SPDX-License-Identifier: GPL-3.0-or-later
// Prints random core policies as text, one JSON object a line, each with its encoding.
#include "tests/unit/policy_samples.h"

#include <cstdio>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/fingerprint.h"
#include "base/hex.h"
#include "keyms/policy/encode.h"
#include "keyms/policy/toml.h"

namespace {

void print_samples() {
  constexpr unsigned seed = 23;
  std::mt19937 random(seed);
  for (int i = 0; i < 200; ++i) {
    const cs::keyms::CorePolicy policy =
        i == 0 ? cs::test::sample_policy() : cs::test::random_policy(random);
    const auto bytes = cs::test::get(cs::keyms::encode(policy));
    const nlohmann::json line{
        {"toml", cs::keyms::toml_text(policy)},
        {"cbor", cs::hex_encode(bytes)},
        {"fingerprint", cs::fingerprint_text(cs::keyms::core_properties_value(bytes))}};
    std::cout << line.dump() << "\n";
  }
}

}  // namespace

int main() {
  try {
    print_samples();
    return 0;
  } catch (const std::exception& error) {
    std::fputs(error.what(), stderr);
    return 1;
  }
}
