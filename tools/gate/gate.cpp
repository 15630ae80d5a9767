// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/gate/gate.h"

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>
#include <utility>

#include "xfrm/state/text.h"

namespace cs::gate {
namespace {

using Json = nlohmann::ordered_json;
using net::Address;
using xfrm::Gate;
using xfrm::GatePeerView;
using xfrm::GateReason;
using xfrm::GateView;
using xfrm::GateWay;
using xfrm::Opening;
using xfrm::Passage;
using xfrm::SaName;
using xfrm::spi_text;

// A lost gate is back within it.
constexpr std::chrono::milliseconds look_every{500};

Outcome failed(const Error& error, std::ostream& out, std::ostream& err, bool json = false) {
  return inspect::fail(error, Outcome::unreadable, json, out, err);
}

std::string_view protocol_text(std::uint8_t protocol) {
  return protocol == IPPROTO_ESP ? "esp" : "ah";
}

std::string addresses_text(const GatePeerView& peer) {
  std::string text;
  for (const Address& address : peer.addresses) text += (text.empty() ? "" : ", ") + address.text();
  return text;
}

std::string_view opening_words(Opening opening) {
  switch (opening) {
    case Opening::closed:
      return "closed";
    case Opening::listed:
      return "open to the SAs admitted";
    case Opening::any:
      return "open to any SA, which nothing attested";
  }
  return "unknown";
}

void write_text(const GateView& view, std::ostream& out) {
  out << "gate by " << to_string(view.kind)
      << (view.complete ? ", complete" : ", NOT COMPLETE: rules are missing or too many") << "\n";
  for (std::size_t way = 0; way < xfrm::gate_ways.size(); ++way) {
    const xfrm::GateCount& count = view.strangers.at(way);
    if (count.packets == 0) continue;
    out << to_string(xfrm::gate_ways.at(way)) << ", of nobody's peer: " << count.packets
        << " packets, " << count.bytes << " bytes\n";
  }
  for (const GatePeerView& peer : view.peers) {
    out << "\n"
        << detail::one_line(peer.name) << " (" << addresses_text(peer)
        << "): " << opening_words(peer.opening) << "\n";
    for (const Passage& passage : peer.passages) {
      out << "  admitted " << to_string(passage.way) << ": " << protocol_text(passage.protocol)
          << " to " << passage.destination.text() << ", SPI " << spi_text(passage.spi) << "\n";
    }
    for (const GateWay way : xfrm::gate_ways) {
      for (const GateReason reason : xfrm::gate_reasons) {
        const xfrm::GateCount count = peer.count(way, reason);
        if (count.packets == 0) continue;
        out << "  " << to_string(way) << " " << to_string(reason) << ": " << count.packets
            << " packets, " << count.bytes << " bytes\n";
      }
    }
  }
}

Json to_json(const GatePeerView& peer) {
  Json json{{"name", detail::one_line(peer.name)},
            {"addresses", Json::array()},
            {"opening", to_string(peer.opening)},
            {"admitted", Json::array()}};
  for (const Address& address : peer.addresses) json["addresses"].push_back(address.text());
  for (const Passage& passage : peer.passages) {
    json["admitted"].push_back({{"way", to_string(passage.way)},
                                {"protocol", protocol_text(passage.protocol)},
                                {"destination", passage.destination.text()},
                                {"spi", spi_text(passage.spi)}});
  }
  for (const GateWay way : xfrm::gate_ways) {
    for (const GateReason reason : xfrm::gate_reasons) {
      const xfrm::GateCount count = peer.count(way, reason);
      json["counters"][std::string(to_string(way))][std::string(to_string(reason))] = {
          {"packets", count.packets}, {"bytes", count.bytes}};
    }
  }
  return json;
}

Json to_json(const GateView& view) {
  Json json{{"schema_version", inspect::schema_version},
            {"kind", to_string(view.kind)},
            {"complete", view.complete},
            {"peers", Json::array()}};
  for (const GatePeerView& peer : view.peers) json["peers"].push_back(to_json(peer));
  for (std::size_t way = 0; way < xfrm::gate_ways.size(); ++way) {
    const xfrm::GateCount& count = view.strangers.at(way);
    json["strangers"][std::string(to_string(xfrm::gate_ways.at(way)))] = {
        {"packets", count.packets}, {"bytes", count.bytes}};
  }
  return json;
}

// Whatever keeps it from looking may pass, and the gate stands meanwhile: told once, tried again.
[[noreturn]] void keep(Gate& gate, std::ostream& out) {
  for (std::string trouble;;) {
    std::this_thread::sleep_for(look_every);
    const auto was_lost = gate.keep();
    if (was_lost.ok() && *was_lost) {
      out << "the gate was lost, and is back: closed to every peer" << std::endl;
    }
    const std::string now = was_lost.ok() ? "" : was_lost.error().message();
    if (now != trouble && !now.empty()) out << "nobody keeps the gate: " << now << std::endl;
    if (now != trouble && now.empty()) out << "the gate is kept again" << std::endl;
    trouble = now;
  }
}

Result<void> set_up_gate(const SetUpOptions& options, std::ostream& out) {
  CS_TRY(Gate gate, Gate::set_up(options.config, options.kind));
  CS_TRY(const GateView view, gate.look());
  out << "the gate stands, by " << to_string(gate.kind()) << "\n";
  for (const GatePeerView& peer : view.peers) {
    out << peer.name << ": " << opening_words(peer.opening) << std::endl;
  }
  if (options.keep) keep(gate, out);
  return {};
}

Result<void> open_gate(const OpenOptions& options) {
  CS_TRY(Gate gate, Gate::find());
  if (options.sas.empty()) return gate.open(options.peer, Opening::any);
  CS_TRY(const GateView view, gate.look());
  const auto peer = std::ranges::find(view.peers, options.peer, &GatePeerView::name);
  CS_CHECK(gate.open(options.peer, Opening::listed));
  for (const SaName& sa : options.sas) {
    const bool theirs = peer != view.peers.end() &&
                        std::ranges::find(peer->addresses, sa.destination) != peer->addresses.end();
    CS_CHECK(gate.admit(
        options.peer, {theirs ? GateWay::out : GateWay::in, sa.destination, sa.protocol, sa.spi}));
  }
  return {};
}

Result<void> close_gate(const std::string& peer) {
  CS_TRY(Gate gate, Gate::find());
  return gate.close(peer);
}

// How many there are. Each is tried, whatever becomes of the others.
Result<std::size_t> close_gates() {
  Result<Gate> found = Gate::find();
  if (!found.ok() && found.error().kind() == ErrorKind::not_found) return std::size_t{0};
  CS_TRY(Gate gate, std::move(found));
  CS_TRY(const GateView view, gate.look());
  Result<void> worst;
  for (const GatePeerView& peer : view.peers) {
    if (auto closed = gate.close(peer.name); !closed.ok()) worst = std::move(closed);
  }
  CS_CHECK(std::move(worst));
  return view.peers.size();
}

Outcome ended(const Result<void>& done, const std::string& words, std::ostream& out,
              std::ostream& err) {
  if (!done.ok()) return failed(done.error(), out, err);
  out << words << "\n";
  return Outcome::good;
}

}  // namespace

Result<xfrm::GatePeer> parse_peer(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return Error(ErrorKind::invalid, "a peer without an address")
        .with_hint("write NAME=ADDRESS[,ADDRESS...]");
  }
  xfrm::GatePeer peer{std::string(text.substr(0, equals)), {}, false};
  for (std::string_view rest = text.substr(equals + 1);;) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    CS_TRY(const Address address, Address::parse(rest.substr(0, comma)));
    peer.addresses.push_back(address);
    if (comma == rest.size()) return peer;
    rest.remove_prefix(comma + 1);
  }
}

Result<SaName> parse_sa(std::string_view text) {
  const Error wrong = Error(ErrorKind::invalid, "that is no SA")
                          .with_hint("write DESTINATION/esp/0xSPI or DESTINATION/ah/0xSPI");
  const std::size_t second = text.rfind('/');
  const std::size_t first = text.find('/');
  if (second == std::string_view::npos || first == second) return Error(wrong);
  const std::string_view protocol = text.substr(first + 1, second - first - 1);
  std::string_view spi = text.substr(second + 1);
  if ((protocol != "esp" && protocol != "ah") || !spi.starts_with("0x")) return Error(wrong);
  spi.remove_prefix(2);
  SaName sa;
  CS_TRY(sa.destination, Address::parse(text.substr(0, first)));
  sa.protocol = protocol == "esp" ? IPPROTO_ESP : IPPROTO_AH;
  const auto read = std::from_chars(spi.data(), spi.data() + spi.size(), sa.spi, 16);
  if (read.ec != std::errc() || read.ptr != spi.data() + spi.size() || sa.spi == 0)
    return Error(wrong);
  return sa;
}

Outcome set_up(const SetUpOptions& options, std::ostream& out, std::ostream& err) {
  const Result<void> done = set_up_gate(options, out);
  return done.ok() ? Outcome::good : failed(done.error(), out, err);
}

Outcome show(bool json, std::ostream& out, std::ostream& err) {
  const Result<Gate> gate = Gate::find();
  if (!gate.ok()) return failed(gate.error(), out, err, json);
  const Result<GateView> view = gate->look();
  if (!view.ok()) return failed(view.error(), out, err, json);
  if (json) {
    out << to_json(*view).dump(2) << "\n";
  } else {
    write_text(*view, out);
  }
  return view->complete ? Outcome::good : Outcome::refused;
}

Outcome open(const OpenOptions& options, std::ostream& out, std::ostream& err) {
  return ended(
      open_gate(options),
      options.peer + ": " +
          std::string(opening_words(options.sas.empty() ? Opening::any : Opening::listed)) +
          ". Nobody attested this peer; keymsd closes it again",
      out, err);
}

Outcome close(const std::string& peer, std::ostream& out, std::ostream& err) {
  return ended(close_gate(peer), peer + ": closed", out, err);
}

Outcome close_all(std::ostream& out, std::ostream& err) {
  const auto closed = close_gates();
  if (!closed.ok()) return failed(closed.error(), out, err);
  out << "closed to all peers: " << *closed << "\n";
  return Outcome::good;
}

Outcome remove(std::ostream& out, std::ostream& err) {
  return ended(Gate::remove(), "there is no gate now: all IPsec passes", out, err);
}

}  // namespace cs::gate
