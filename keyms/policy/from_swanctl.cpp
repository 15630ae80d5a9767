// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/policy/from_swanctl.h"

#include <algorithm>
#include <array>

#include "keyms/policy/settings.h"
#include "keyms/policy/words.h"

namespace cs::keyms {
namespace {

// What is IKE's alone, or changes nothing of what the kernel is to do.
constexpr std::array of_ike{
    "version",    "proposals",    "aggressive", "dpd_delay",   "dpd_timeout", "fragmentation",
    "childless",  "send_certreq", "send_cert",  "keyingtries", "unique",      "reauth_time",
    "rekey_time", "over_time",    "rand_time",  "mobike",      "local_port",  "remote_port",
    "ppk_id",     "ppk_required", "dscp",       "ocsp"};
constexpr std::array of_child{"rekey_bytes",  "rekey_packets", "rand_time",    "rand_bytes",
                              "rand_packets", "life_bytes",    "life_packets", "updown",
                              "hostaccess",   "start_action",  "close_action", "dpd_action",
                              "inactivity",   "priority",      "reqid",        "copy_df",
                              "copy_ecn",     "copy_dscp",     "tfc_padding"};
// Read below.
constexpr std::array read_of_connection{"local_addrs", "remote_addrs", "encap", "if_id_in",
                                        "if_id_out"};
constexpr std::array read_of_child{"local_ts",     "remote_ts", "esp_proposals", "ah_proposals",
                                   "mode",         "mark_in",   "mark_in_sa",    "mark_out",
                                   "set_mark_out", "if_id_in",  "if_id_out",     "replay_window",
                                   "rekey_time",   "life_time", "sha256_96",     "hw_offload",
                                   "ipcomp",       "policies",  "set_mark_in"};

template <std::size_t n>
bool is_in(const std::array<const char*, n>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::vector<std::string> split(const std::string& list, char at) {
  std::vector<std::string> out(1);
  for (const char c : list) {
    if (c == at) {
      out.emplace_back();
    } else if (c != ' ' && c != '\t') {
      out.back() += c;
    }
  }
  std::erase(out, "");
  return out;
}

class Reader {
 public:
  Reader(const std::string& file, const Settings& connection)
      : file_(file), connection_(connection) {}

  Result<xfrm::Agreement> run(std::vector<std::string>& notes) {
    tell_unknown(connection_, of_ike, read_of_connection);
    addresses_ = {address("local_addrs"), address("remote_addrs")};
    xfrm::Agreement out;
    const Settings* children = connection_.section("children");
    if (children != nullptr) {
      for (const auto& [name, child] : children->sections) CS_CHECK(read_child(name, child, out));
    }
    notes = std::move(notes_);
    return out;
  }

 private:
  Error wrong(const Settings::Value& at, const std::string& what) const {
    return {ErrorKind::unsupported, file_ + ":" + std::to_string(at.line) + ": " + what};
  }
  void note(unsigned line, const std::string& what) {
    notes_.push_back(file_ + ":" + std::to_string(line) + ": " + what);
  }
  template <std::size_t n, std::size_t m>
  void tell_unknown(const Settings& section, const std::array<const char*, n>& known,
                    const std::array<const char*, m>& read) {
    for (const auto& [key, value] : section.values) {
      if (!is_in(known, key) && !is_in(read, key)) {
        note(value.line, key + " is not understood here, and no part of the policy");
      }
    }
  }
  static bool is_yes(const Settings::Value* value, bool otherwise) {
    if (value == nullptr) return otherwise;
    constexpr std::array words{"1", "yes", "true", "enabled"};
    return is_in(words, value->text);
  }

  std::optional<net::Address> address(const char* key) {
    const Settings::Value* value = connection_.value(key);
    if (value == nullptr) {
      note(connection_.line, std::string(key) + " is not given: taken for any address");
      return std::nullopt;
    }
    const auto parsed = net::Address::parse(value->text);
    if (parsed.ok()) return *parsed;
    if (value->text != "%any")
      note(value->line, value->text + " is no single address: taken for any");
    return std::nullopt;
  }

  Result<void> read_child(const std::string& name, const Settings& child, xfrm::Agreement& out) {
    const Settings::Value* mode = child.value("mode");
    const std::string word = mode == nullptr ? "tunnel" : mode->text;
    if (word == "drop") {
      CS_CHECK(refuse_dropping_all(child, *mode));
      note(child.line, name + " blocks in the kernel, which needs no agreement");
      return {};
    }
    if (word == "pass") return read_bypass(name, child, out);
    tell_unknown(child, of_child, read_of_child);
    xfrm::Tunnel tunnel;
    tunnel.name = name;
    if (word != "tunnel" && word != "transport") {
      return wrong(*mode, "mode " + word + " is none that a policy knows")
          .with_hint("tunnel or transport");
    }
    tunnel.mode = word == "tunnel" ? xfrm::Mode::tunnel : xfrm::Mode::transport;
    for (std::size_t i = 0; i < 2; ++i) {
      tunnel.ends.at(i).address = addresses_.at(i);
      CS_TRY(tunnel.ends.at(i).traffic, traffic(child, i, tunnel.mode == xfrm::Mode::transport));
    }
    CS_CHECK(refuse_what_no_policy_has(child));
    CS_CHECK(read_proposals(child, tunnel));
    CS_CHECK(read_marks(child, tunnel));
    CS_CHECK(read_numbers(child, tunnel));
    if (is_yes(connection_.value("encap"), false)) tunnel.udp_encapsulation = xfrm::Use::required;
    out.tunnels.push_back(std::move(tunnel));
    return {};
  }

  Result<void> read_bypass(const std::string& name, const Settings& child, xfrm::Agreement& out) {
    CS_TRY(const auto here, traffic(child, 0, false));
    CS_TRY(const auto there, traffic(child, 1, false));
    for (const xfrm::Traffic& own : here) {
      for (const xfrm::Traffic& far : there) {
        const std::size_t number = out.bypasses.size();
        const bool single = here.size() * there.size() == 1;
        out.bypasses.push_back(
            {single ? name : name + "-" + std::to_string(number + 1), xfrm::End::left, own, far});
      }
    }
    return {};
  }

  Result<std::vector<xfrm::Traffic>> traffic(const Settings& child, std::size_t end,
                                             bool transport) const {
    const Settings::Value* value = child.value(end == 0 ? "local_ts" : "remote_ts");
    std::vector<xfrm::Traffic> out;
    static const Settings::Value dynamic{"dynamic", 0};
    const Settings::Value& at = value == nullptr ? dynamic : *value;
    for (const std::string& one : split(at.text, ',')) {
      // The address itself, which in transport mode goes without saying.
      if (one == "dynamic" && transport) continue;
      const auto& own = addresses_.at(end);
      std::string words = one;
      if (one.starts_with("dynamic")) {
        if (!own) {
          return Error(ErrorKind::unsupported,
                       file_ + ":" + std::to_string(at.line == 0 ? child.line : at.line) +
                           ": dynamic traffic of an address that is not known")
              .with_hint("name the networks");
        }
        words = own->text() + one.substr(7);
      }
      auto parsed = parse_traffic(words);
      if (!parsed.ok()) {
        return wrong(at, parsed.error().message())
            .with_hint("write ranges as networks, and ports as numbers");
      }
      out.push_back(*std::move(parsed));
    }
    return out;
  }

  // strongSwan resolves `dynamic` by the connection's addresses, and a child that drops has none.
  Result<void> refuse_dropping_all(const Settings& child, const Settings::Value& mode) const {
    for (const char* key : {"local_ts", "remote_ts"}) {
      const Settings::Value* value = child.value(key);
      if (value != nullptr && value->text.find("dynamic") == std::string::npos) continue;
      return wrong(value == nullptr ? mode : *value,
                   std::string(key) +
                       " is dynamic: in a child of mode drop that is all traffic of this machine")
          .with_hint("write the addresses");
    }
    return {};
  }

  Result<void> refuse_what_no_policy_has(const Settings& child) {
    const Settings::Value* offload = child.value("hw_offload");
    if (offload != nullptr && offload->text != "no") {
      return wrong(*offload, "hw_offload: behind a network card's back nothing can be signed");
    }
    const Settings::Value* compression = child.value("ipcomp");
    if (is_yes(compression, false)) return wrong(*compression, "ipcomp is in no policy");
    const Settings::Value* policies = child.value("policies");
    if (!is_yes(policies, true))
      return wrong(*policies, "policies = no: then the kernel protects nothing");
    const Settings::Value* mark = child.value("set_mark_in");
    if (mark != nullptr) return wrong(*mark, "set_mark_in: inbound SAs write no mark in a policy");
    return {};
  }

  Result<xfrm::Mark> mark(const Settings& child, const char* key) const {
    const Settings::Value* value = child.value(key);
    if (value == nullptr) return xfrm::Mark{};
    auto parsed = parse_mark(value->text);
    if (parsed.ok()) return *parsed;
    return wrong(*value, std::string(key) + ": " + parsed.error().message());
  }

  Result<void> read_marks(const Settings& child, xfrm::Tunnel& out) {
    CS_TRY(out.inbound_policy_mark, mark(child, "mark_in"));
    out.inbound_mark =
        is_yes(child.value("mark_in_sa"), false) ? out.inbound_policy_mark : xfrm::Mark{};
    if (out.inbound_mark.mask == 0) {
      note(child.line, out.name +
                           ": without mark_in and mark_in_sa = yes the kernel takes packets "
                           "that the verifier has not marked");
    }
    CS_TRY(out.outbound_policy_mark, mark(child, "mark_out"));
    CS_TRY(out.output_mark, mark(child, "set_mark_out"));
    if (out.output_mark.mask == 0) {
      note(child.line,
           out.name + ": without set_mark_out unsigned packets are not told from others");
    }
    return {};
  }

  Result<void> read_numbers(const Settings& child, xfrm::Tunnel& out) {
    const auto number = [&](const char* key, std::uint32_t& into) -> Result<void> {
      const Settings::Value* value = child.value(key);
      if (value == nullptr) value = connection_.value(key);
      if (value == nullptr) return {};
      const auto parsed = parse_number(value->text, ~0U);
      if (!parsed.ok()) return wrong(*value, std::string(key) + ": " + parsed.error().message());
      into = static_cast<std::uint32_t>(*parsed);
      return {};
    };
    std::uint32_t out_id = 0;
    CS_CHECK(number("if_id_in", out.interface_id));
    CS_CHECK(number("if_id_out", out_id));
    if (out_id != out.interface_id) {
      return Error(ErrorKind::unsupported, file_ + ":" + std::to_string(child.line) +
                                               ": if_id_in and if_id_out of " + out.name +
                                               " differ");
    }
    CS_CHECK(number("replay_window", out.least_replay_window));
    CS_TRY(const std::uint64_t rekey, seconds(child, "rekey_time", 3600));
    // strongSwan's own default.
    CS_TRY(out.most_seconds, seconds(child, "life_time", rekey + rekey / 10));
    return {};
  }

  Result<std::uint64_t> seconds(const Settings& child, const char* key,
                                std::uint64_t otherwise) const {
    const Settings::Value* value = child.value(key);
    if (value == nullptr) return otherwise;
    const auto plain = parse_number(value->text, static_cast<std::uint64_t>(max_duration.count()));
    if (plain.ok()) return *plain;
    const auto parsed = parse_duration(value->text);
    if (!parsed.ok()) return wrong(*value, std::string(key) + ": " + parsed.error().message());
    return static_cast<std::uint64_t>(parsed->count());
  }

  // --- proposals ---------------------------------------------------------------------------------

  struct Words {
    std::vector<std::string> aead;
    std::vector<std::string> encryption;
    std::vector<std::string> authentication;
    bool esn = false;
    bool noesn = false;
  };

  // strongSwan has several words for one algorithm; lengths of an ICV also in bits.
  static std::string usual(std::string word) {
    for (const auto& [other, one] : {std::pair("gcm128", "gcm16"),
                                     {"gcm96", "gcm12"},
                                     {"gcm64", "gcm8"},
                                     {"ccm128", "ccm16"},
                                     {"sha2_", "sha"}}) {
      const std::size_t at = word.find(other);
      if (at != std::string::npos) word.replace(at, std::string_view(other).size(), one);
    }
    return word == "sha" ? "sha1" : word == "aes" ? "aes128" : word;
  }
  static bool is_key_exchange(const std::string& word) {
    constexpr std::array beginnings{"modp", "ecp",     "x25519", "x448", "curve",
                                    "ntru", "newhope", "mlkem",  "ke1_", "ke2_",
                                    "ke3_", "ke4_",    "ke5_",   "ke6_", "ke7_"};
    return std::ranges::any_of(beginnings,
                               [&](const char* begin) { return word.starts_with(begin); });
  }

  static Result<Words> sorted(const std::string& proposal, bool short_sha256) {
    Words out;
    for (const std::string& said : split(proposal, '-')) {
      std::string word = usual(said);
      if (word == "esn") out.esn = true;
      if (word == "noesn") out.noesn = true;
      if (word == "esn" || word == "noesn" || is_key_exchange(word)) continue;
      if (word == "sha256" && short_sha256) word = "sha256_96";
      CS_TRY(const xfrm::Proposal known, xfrm::parse_proposal(word));
      (known.aead         ? out.aead
       : known.encryption ? out.encryption
                          : out.authentication)
          .push_back(word);
    }
    return out;
  }

  // Each AEAD algorithm alone, each encryption with each authentication.
  static Result<void> add(const Words& words, xfrm::Tunnel& out) {
    std::vector<std::string> all = words.aead;
    for (const std::string& encryption : words.encryption) {
      for (const std::string& authentication : words.authentication) {
        all.emplace_back(encryption).append("-").append(authentication);
      }
    }
    if (words.encryption.empty() && words.aead.empty()) all = words.authentication;
    for (const std::string& one : all) {
      CS_TRY(const xfrm::Proposal parsed, xfrm::parse_proposal(one));
      if (std::ranges::find(out.proposals, parsed) == out.proposals.end()) {
        out.proposals.push_back(parsed);
      }
    }
    return {};
  }

  Result<void> read_proposals(const Settings& child, xfrm::Tunnel& out) {
    const auto given = [&](const char* key) {
      const Settings::Value* value = child.value(key);
      return value == nullptr || value->text.empty() ? nullptr : value;
    };
    const Settings::Value* ah = given("ah_proposals");
    const Settings::Value* said = ah != nullptr ? ah : given("esp_proposals");
    if (ah != nullptr) out.protocol = 51;
    if (ah != nullptr && given("esp_proposals") != nullptr) {
      return wrong(*ah, "esp_proposals beside ah_proposals: either may be negotiated")
          .with_hint("keep the one that is meant");
    }
    if (said == nullptr || said->text.find("default") != std::string::npos) {
      note(said == nullptr ? child.line : said->line,
           out.name +
               ": strongSwan's default proposals are another in each version; name some, "
               "there and in the policy");
      return {};
    }
    bool esn = false;
    bool noesn = false;
    for (const std::string& proposal : split(said->text, ',')) {
      auto words = sorted(proposal, is_yes(child.value("sha256_96"), false));
      if (!words.ok()) return wrong(*said, words.error().message());
      if (auto added = add(*words, out); !added.ok()) return wrong(*said, added.error().message());
      esn = esn || words->esn;
      noesn = noesn || words->noesn || !words->esn;
    }
    if (esn) out.extended_sequence_numbers = noesn ? xfrm::Use::allowed : xfrm::Use::required;
    return {};
  }

  const std::string& file_;
  const Settings& connection_;
  std::array<std::optional<net::Address>, 2> addresses_;
  std::vector<std::string> notes_;
};

Result<const Settings*> chosen(const Settings& root, const std::string& file,
                               const std::string& connection) {
  const Settings* all = root.section("connections");
  std::string names;
  if (all != nullptr) {
    for (const auto& [name, one] : all->sections) names += (names.empty() ? "" : ", ") + name;
    if (const Settings* one = all->section(connection)) return one;
    if (connection.empty() && all->sections.size() == 1) return &all->sections.begin()->second;
  }
  if (names.empty()) return Error(ErrorKind::not_found, file + ": it has no connection");
  return Error(ErrorKind::not_found,
               file + ": " +
                   (connection.empty() ? "it has several connections"
                                       : "no connection is called '" + connection + "'"))
      .with_hint("choose one with --connection: " + names);
}

}  // namespace

Result<Drawn> from_swanctl(std::string_view text, const std::string& file,
                           const std::string& connection, const DrawOptions& options) {
  CS_TRY(const Settings root, parse_settings(text, file));
  CS_TRY(const Settings* one, chosen(root, file, connection));
  Drawn out;
  CS_TRY(xfrm::Agreement agreement, Reader(file, *one).run(out.notes));
  out.policy = draw(options, std::move(agreement));
  return out;
}

}  // namespace cs::keyms
