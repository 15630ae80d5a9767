// SPDX-License-Identifier: GPL-3.0-or-later
#include "nfq-signer/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <limits>
#include <map>
#include <set>

#include "base/toml_reader.h"
#include "base/unique_fd.h"

namespace cs {

namespace {

constexpr std::size_t max_file = 65536;

using Reader = TomlReader;

void read_mtu(Reader& r, Config& out) {
  auto interval = static_cast<std::uint32_t>(out.mtu_interval.count());
  bool fragments = false;
  r.word("policy", fragments, {{"cap", false}, {"fragment", true}});
  r.numbers("tables", out.route_tables, 16, 1, std::numeric_limits<std::uint32_t>::max());
  r.text("memory", out.route_memory, 255);
  r.number("interval_ms", interval, 100, 60'000);
  out.mtu_interval = std::chrono::milliseconds(interval);
  out.mtu_policy = fragments ? mtu::Policy::fragment : mtu::Policy::cap;
}

Result<void> read_tunnel(Reader& r, const std::string& where, mtu::Tunnel& out) {
  constexpr std::size_t longest = 64;
  bool is_transport = false;
  bool is_ah = false;
  bool is_wide = false;
  r.parsed("peer", out.peer);
  r.list("inner", out.inner, mtu::Tunnel::max_inner);
  r.word("mode", is_transport, {{"tunnel", false}, {"transport", true}});
  r.word("protocol", is_ah, {{"esp", false}, {"ah", true}});
  r.word("nodes", is_wide, {{"16", false}, {"32", true}});
  r.flag("udp", out.sa.udp);
  r.flag("align4", out.sa.ah_align4);
  r.number("iv", out.sa.iv, 0, longest);
  r.number("icv", out.sa.icv, 0, longest);
  r.number("block", out.sa.block, 1, longest);
  if (r.has("overhead")) r.number("overhead", out.sa.measured.emplace(), 1, 1024);
  r.number("mtu", out.most_inner, mtu::least_ipv4, max_packet);
  r.number("path_mtu", out.most_path, mtu::least_ipv4, max_packet);
  CS_CHECK(r.finish());
  out.sa.outer_ipv6 = out.peer.ipv6;
  out.sa.mode = is_transport ? mtu::Mode::transport : mtu::Mode::tunnel;
  out.sa.protocol = is_ah ? Protocol::ah : Protocol::esp;
  out.suite = is_wide ? Suite::p256_node32 : Suite::p256_node16;
  const auto refuse = [&](const char* why) { return Error(ErrorKind::invalid, where + why); };
  if (!r.has("peer")) return refuse("tunnel.peer is missing: the other gateway's address");
  if (is_transport && !out.inner.empty())
    return refuse("tunnel.inner: transport mode has no inner networks");
  if (!is_transport && out.inner.empty())
    return refuse("tunnel.inner is missing: the networks behind the peer");
  // With a path that takes anything: what is refused then can never be.
  const auto planned = mtu::plan(mtu::question_for(out, mtu::Policy::fragment, 1, max_packet));
  return planned.ok() ? Result<void>() : refuse(planned.error().message().c_str());
}

Result<void> read_tunnels(const toml::node& node, const TomlFile& file, Config& out) {
  const toml::array* array = node.as_array();
  if (array == nullptr || !array->is_array_of_tables() || array->size() > mtu::Tunnel::max_count) {
    return Error(ErrorKind::invalid, toml_place(file, node.source()) +
                                         ": tunnel has to be [[tunnel]], at most " +
                                         std::to_string(mtu::Tunnel::max_count) + " times");
  }
  for (const toml::node& element : *array) {
    Reader reader(*element.as_table(), file, "tunnel");
    CS_CHECK(read_tunnel(reader, reader.place() + ": ", out.tunnels.emplace_back()));
  }
  return {};
}

using Section = std::function<void(Reader&)>;

std::map<std::string, Section, std::less<>> sections_for(Config& out) {
  constexpr std::uint64_t all_marks = std::numeric_limits<std::uint32_t>::max();
  return {
      {"queues",
       [&out](Reader& r) {
         r.number("first", out.first_queue, 0, 65535);
         r.number("count", out.queues, 1, 128);
         r.number("length", out.queue_length, 16, 65536);
         r.number("slots", out.slots, 64, 8192);
         r.numbers("cpus", out.cpus, 256, 0, 4095);
       }},
      {"batch",
       [&out](Reader& r) {
         auto interval = static_cast<std::uint32_t>(out.interval.count());
         r.number("max", out.max_batch, 1, 8192);
         r.number("interval_us", interval, 0, 1'000'000);
         out.interval = std::chrono::microseconds(interval);
       }},
      {"packets", [&out](Reader& r) { r.numbers("udp_ports", out.udp_ports, 15, 1, 65535); }},
      {"translator",
       [&out](Reader& r) {
         r.number("port", out.translator.port, 1, 65535);
         std::vector<net::Address> peers;
         r.list("peers", peers, 1024);
         for (const net::Address& peer : peers)
           out.translator.peers.push_back(mapped_address(peer.view()));
       }},
      {"marks",
       [&out](Reader& r) {
         r.number("inbound", out.marks.inbound_mark, 1, all_marks);
         r.number("inbound_mask", out.marks.inbound_mask, 1, all_marks);
         r.number("signed", out.marks.signed_mark, 1, all_marks);
         r.number("outbound_mask", out.marks.outbound_mask, 1, all_marks);
       }},
      {"mtu", [&out](Reader& r) { read_mtu(r, out); }},
      {"keymsd",
       [&out](Reader& r) {
         r.text("socket", out.keymsd_socket, 107);
         r.text("user", out.keymsd_user, 32);
       }},
      {"control", [&out](Reader& r) { r.text("socket", out.control_socket, 107); }},
  };
}

Result<void> check(const Config& config, const std::string& name) {
  if (config.first_queue + 2 * config.queues > 65536) {
    return Error(ErrorKind::invalid,
                 name + ": queues.first and queues.count: the last queue would be above 65535");
  }
  const auto& ports = config.udp_ports;
  if (std::find(ports.begin(), ports.end(), config.translator.port) != ports.end()) {
    return Error(ErrorKind::invalid, name + ": translator.port is one of packets.udp_ports")
        .with_hint("what is ESP in UDP already is never translated; take another port");
  }
  if (config.translator.port == 0 && !config.translator.peers.empty()) {
    return Error(ErrorKind::invalid, name + ": translator.peers without translator.port");
  }
  if (config.slots < config.max_batch) {
    return Error(ErrorKind::invalid, name + ": queues.slots has to be at least batch.max");
  }
  return {};
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& name) {
  const TomlFile file{name, "man nfq-signer lists them"};
  CS_TRY(const toml::table parsed, parse_toml(text, file));
  Config out;
  const auto sections = sections_for(out);
  for (const auto& [key, node] : parsed) {
    if (key.str() == "tunnel") {
      CS_CHECK(read_tunnels(node, file, out));
      continue;
    }
    const auto section = sections.find(key.str());
    if (section == sections.end() || !node.is_table()) {
      std::vector<Candidate> known{{"tunnel", "tunnel"}};
      for (const auto& [one, read] : sections) known.push_back({one, one});
      return toml_unknown(file, key, "no section is called [" + std::string(key.str()) + "]",
                          known);
    }
    Reader reader(*node.as_table(), file, section->first);
    section->second(reader);
    CS_CHECK(reader.finish());
  }
  CS_CHECK(check(out, name));
  for (mtu::Tunnel& tunnel : out.tunnels)
    tunnel.sa.translated = out.translator.is_for(mapped_address(tunnel.peer.view()));
  return out;
}

Result<Config> read_config(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return from_errno(errno, "opening " + path);
  std::string text(max_file + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), &text[size], text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno(errno, "reading " + path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > max_file)
    return Error(ErrorKind::limit, "reading " + path + ": it is longer than 65536 bytes");
  text.resize(size);
  return parse_config(text, path);
}

}  // namespace cs
