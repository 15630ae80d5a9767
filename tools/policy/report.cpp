// SPDX-License-Identifier: GPL-3.0-or-later
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/fingerprint.h"
#include "base/hex.h"
#include "keyms/policy/difference.h"
#include "keyms/policy/toml.h"
#include "tools/policy/load.h"
#include "tools/policy/policy.h"

namespace cs::policy {
namespace {

using Json = nlohmann::ordered_json;

Outcome failed(const Error& error, bool json, const Console& console) {
  const Outcome outcome = is_of_content(error) ? Outcome::refused : Outcome::unreadable;
  return inspect::fail(error, outcome, json, console.out, console.err);
}

std::string_view text(keyms::SignatureState state) noexcept {
  constexpr std::array<std::string_view, 3> names{"missing", "good", "wrong"};
  return names.at(static_cast<std::size_t>(state));
}

// What `show` and `check` have in common.
Json head(const Loaded& loaded) {
  Json out{{"schema_version", inspect::schema_version},
           {"complete", true},
           {"name", loaded.policy.name},
           {"version", loaded.policy.version},
           {"core_properties_value", hex_encode(loaded.value)},
           {"fingerprint", fingerprint_text(loaded.value)}};
  if (!loaded.signatures) return out;
  out["agreed"] = loaded.signatures->is_agreed();
  for (std::size_t i = 0; i < loaded.policy.gateways.size(); ++i) {
    const keyms::SignatureVerdict& one = loaded.signatures->signatures.at(i);
    Json& row = out["signatures"][loaded.policy.gateways.at(i).ne_id];
    row = {{"state", text(one.state)}, {"sentence", one.sentence}};
    if (one.key) row["key"] = one.key->hex();
  }
  return out;
}

// Each line behind `before`, so that it may stand as comments over a policy's text.
void tell_head(const Loaded& loaded, const std::string& before, std::ostream& out) {
  out << before << "core properties value: " << hex_encode(loaded.value) << "\n"
      << before << "read aloud: " << fingerprint_text(loaded.value) << "\n";
  if (!loaded.signatures) return;
  for (const keyms::SignatureVerdict& one : loaded.signatures->signatures) {
    out << before << detail::one_line(one.sentence) << "\n";
  }
}

bool has_wrong_signature(const Loaded& loaded) {
  if (!loaded.signatures) return false;
  return std::ranges::any_of(loaded.signatures->signatures, [](const auto& one) {
    return one.state == keyms::SignatureState::wrong;
  });
}

void print(const Json& json, std::ostream& out) {
  out << json.dump(2) << "\n";
}

}  // namespace

Outcome check(const FileOptions& options, const Console& console) {
  const auto loaded = load(options.file);
  if (!loaded.ok()) return failed(loaded.error(), options.json, console);
  const std::vector<std::string> advice = keyms::advice(loaded->policy);
  const bool wrong = has_wrong_signature(*loaded);
  if (options.json) {
    Json report = head(*loaded);
    report["good"] = !wrong;
    report["advice"] = advice;
    print(report, console.out);
  } else {
    console.out << loaded->policy.name << ", version " << loaded->policy.version << ": "
                << (wrong ? "a signature is wrong" : "it can be kept") << "\n";
    tell_head(*loaded, "", console.out);
    for (const std::string& one : advice) console.out << "weak: " << one << "\n";
  }
  return wrong ? Outcome::refused : Outcome::good;
}

Outcome show(const FileOptions& options, const Console& console) {
  const auto loaded = load(options.file);
  if (!loaded.ok()) return failed(loaded.error(), options.json, console);
  if (!options.json) {
    tell_head(*loaded, "# ", console.out);
    console.out << keyms::toml_text(loaded->policy);
    return Outcome::good;
  }
  const auto fields = keyms::json_text(loaded->policy);
  if (!fields.ok()) return failed(fields.error(), true, console);
  Json report = head(*loaded);
  report["policy"] = Json::parse(*fields);
  print(report, console.out);
  return Outcome::good;
}

Outcome diff(const DiffOptions& options, const Console& console) {
  const auto before = load(options.files.at(0));
  if (!before.ok()) return failed(before.error(), options.json, console);
  const auto after = load(options.files.at(1));
  if (!after.ok()) return failed(after.error(), options.json, console);
  const std::vector<keyms::Change> changes = keyms::changes(before->policy, after->policy);
  if (options.json) {
    Json report{{"schema_version", inspect::schema_version}, {"complete", true}};
    report["changes"] = Json::array();
    for (const keyms::Change& one : changes) {
      report["changes"].push_back(
          {{"effect", keyms::text(one.effect)}, {"part", one.part}, {"sentence", one.sentence}});
    }
    print(report, console.out);
    return Outcome::good;
  }
  for (const keyms::Change& one : changes) {
    console.out << keyms::text(one.effect) << ": " << (one.part.empty() ? "" : one.part + ": ")
                << one.sentence << "\n";
  }
  if (changes.empty()) console.out << "they are the same\n";
  return Outcome::good;
}

Outcome encode(const EncodeOptions& options, const Console& console) {
  const auto loaded = load(options.file);
  if (!loaded.ok()) return failed(loaded.error(), false, console);
  if (const auto saved = save(options.out, loaded->encoded); !saved.ok())
    return inspect::fail(saved.error(), Outcome::unreadable, false, console.out, console.err);
  tell_head(*loaded, "", console.out);
  return Outcome::good;
}

}  // namespace cs::policy
