// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/gate/iptables_save.h"

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

// Each line of the table raw.
template <class F>
void for_each_raw(std::string_view text, F&& f) {
  bool in_table = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('*')) in_table = line == "*raw";
    if (in_table) f(line);
  }
}

template <class Number>
bool parse_number(std::string_view text, Number& out) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

// "[12:3456] -A …": takes the numbers off. None: they stay zero.
GateCount take_count(std::string_view& line) {
  GateCount count;
  const std::size_t end = line.find("] ");
  const std::size_t colon = line.find(':');
  if (!line.starts_with('[') || end == std::string_view::npos || colon > end) return count;
  parse_number(line.substr(1, colon - 1), count.packets);
  parse_number(line.substr(colon + 1, end - colon - 1), count.bytes);
  line.remove_prefix(end + 2);
  return count;
}

// What stands behind `option`, up to the next space, or between quotes.
std::string_view value_of(std::string_view rule, std::string_view option) {
  const std::size_t at = rule.find(std::string(" ") + std::string(option) + " ");
  if (at == std::string_view::npos) return {};
  std::string_view rest = rule.substr(at + option.size() + 2);
  if (rest.starts_with('"')) return rest.substr(1, rest.find('"', 1) - 1);
  return rest.substr(0, rest.find(' '));
}

std::optional<Address> address_of(std::string_view rule, std::string_view option) {
  const std::string_view text = value_of(rule, option);
  const auto address = Address::parse(text.substr(0, text.find('/')));
  if (!address.ok()) return std::nullopt;
  return *address;
}

// "CSGATE_b.IL": b, in, L.
struct ChainName {
  std::string peer;
  GateWay way = GateWay::in;
  char letter = 0;
};

std::optional<ChainName> parse_chain(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (!name.starts_with(gate_prefix) || dot == std::string_view::npos || dot < gate_prefix.size())
    return std::nullopt;
  const std::string_view rest = name.substr(dot + 1);
  if (rest.empty() || rest.size() > 2 || (rest[0] != 'I' && rest[0] != 'O')) return std::nullopt;
  return ChainName{std::string(name.substr(gate_prefix.size(), dot - gate_prefix.size())),
                   rest[0] == 'I' ? GateWay::in : GateWay::out,
                   rest.size() == 2 ? rest[1] : char{0}};
}

bool is_state(char letter) {
  return letter != 0 && std::string_view("SXELT").find(letter) != std::string_view::npos;
}

class Reader : GateParts {
 public:
  void take(std::string_view line) {
    if (line.starts_with(':')) {
      if (const auto name = parse_chain(line.substr(1, line.find(' ') - 1))) peer(name->peer);
      return;
    }
    const GateCount count = take_count(line);
    if (!line.starts_with("-A ")) return;
    const std::string_view rule = line.substr(3);
    const std::string_view chain = rule.substr(0, rule.find(' '));
    const bool to_ours = value_of(rule, "-j").starts_with(gate_prefix);
    if (!chain.starts_with(gate_prefix) && !to_ours) return;
    any_ = true;
    const auto name = parse_chain(chain);
    if (!name) return take_dispatch(chain, rule, count);
    if (!is_state(name->letter)) ++rules_;
    take_of_peer(*name, rule, count);
  }

  [[nodiscard]] std::optional<GateView> finish() && {
    if (!any_ && peers_.empty()) return std::nullopt;
    return view(GateKind::iptables, has_all_rules());
  }

 private:
  void take_dispatch(std::string_view chain, std::string_view rule, GateCount count) {
    ++rules_;
    const std::string_view comment = value_of(rule, "--comment");
    if (!comment.empty()) label_ = parse_gate_label(comment);
    if (chain == gate_strangers_in) strangers_[0] = count;
    if (chain == gate_strangers_out) strangers_[1] = count;
    if (chain != "CSGATE_OUT") return;
    const auto to = parse_chain(value_of(rule, "-g"));
    const auto address = address_of(rule, "-d");
    if (to && address) peer(to->peer).addresses.push_back(*address);
  }

  void take_of_peer(const ChainName& name, std::string_view rule, GateCount count) {
    GatePeerView& owner = peer(name.peer);
    const auto to = parse_chain(value_of(rule, "-g"));
    if (name.letter == 'S' && to) {
      // Of two ways that differ, for whatever reason, the more open one.
      const Opening found = to->letter == 'P'   ? Opening::any
                            : to->letter == 'L' ? Opening::listed
                                                : Opening::closed;
      owner.opening = std::max(owner.opening, found);
    }
    if (name.letter == 'L') take_passage(owner, name.way, rule);
    if (const auto reason = reason_of(name.letter, rule)) {
      GateCount& sum =
          owner.counts.at(static_cast<std::size_t>(name.way)).at(static_cast<std::size_t>(*reason));
      sum = {sum.packets + count.packets, sum.bytes + count.bytes};
    }
  }

  static std::optional<GateReason> reason_of(char letter, std::string_view rule) {
    switch (letter) {
      case 'C':
        return GateReason::closed;
      case 'K':
        return GateReason::ike;
      case 'F':
        return GateReason::fragment;
      case 'U':
        return value_of(rule, "-j") == "NFQUEUE" ? GateReason::held : GateReason::unknown;
      case 'P':
        return GateReason::passed;
      default:
        return std::nullopt;
    }
  }

  static void take_passage(GatePeerView& owner, GateWay way, std::string_view rule) {
    const std::string_view esp = value_of(rule, "--espspi");
    const std::string_view ah = value_of(rule, "--ahspi");
    Passage passage{way, {}, esp.empty() ? std::uint8_t{IPPROTO_AH} : std::uint8_t{IPPROTO_ESP}, 0};
    const auto address = address_of(rule, "-d");
    if (!address || !parse_number(esp.empty() ? ah : esp, passage.spi)) return;
    passage.destination = *address;
    owner.passages.push_back(passage);
  }

  bool any_ = false;
};

}  // namespace

SavedGate read_saved_gate(std::string_view saved) {
  SavedGate found;
  for_each_raw(saved, [&](std::string_view line) {
    if (line.starts_with(":" + std::string(gate_prefix))) {
      found.chains.emplace_back(line.substr(1, line.find(' ') - 1));
      return;
    }
    take_count(line);
    if (!line.starts_with("-A ") || line.substr(3).starts_with(gate_prefix)) return;
    const std::string_view rule = line.substr(3);
    if (value_of(rule, "-j").starts_with(gate_prefix) ||
        value_of(rule, "-g").starts_with(gate_prefix))
      found.unhook += "-D " + std::string(rule) + "\n";
  });
  return found;
}

std::optional<GateView> iptables_gate_view(std::string_view saved) {
  Reader reader;
  for_each_raw(saved, [&](std::string_view line) { reader.take(line); });
  return std::move(reader).finish();
}

}  // namespace cs::xfrm
