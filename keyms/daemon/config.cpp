// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/config.h"

#include <algorithm>
#include <functional>
#include <map>

#include "base/cbor_writer.h"
#include "base/hex.h"
#include "base/toml_reader.h"
#include "keyms/measure/predict.h"
#include "keyms/measure/registers.h"
#include "keyms/policy/words.h"
#include "keyms/session/key_schedule.h"
#include "tpm/small_file.h"

namespace cs::keyms {
namespace {

constexpr std::size_t max_file = 65536;
constexpr std::size_t max_path = 255;
constexpr std::size_t max_socket = 107;

// "sha256:hex[,sha384:hex] reason"
Result<tpm::ForeignEvent> parse_foreign(std::string_view text) {
  const std::size_t space = text.find(' ');
  const auto refuse = [] {
    return Error(ErrorKind::invalid, "digests and a reason: \"sha256:HEX systemd-pcrphase\"");
  };
  if (space == std::string_view::npos) return refuse();
  tpm::ForeignEvent out;
  out.reason = text.substr(space + 1);
  std::string_view digests = text.substr(0, space);
  while (!digests.empty()) {
    const std::string_view one = digests.substr(0, digests.find(','));
    digests.remove_prefix(std::min(digests.size(), one.size() + 1));
    const std::size_t colon = one.find(':');
    if (colon == std::string_view::npos) return refuse();
    const auto algorithm = tpm::hash_algorithm(one.substr(0, colon));
    if (!algorithm) return refuse();
    CS_TRY(const auto bytes, hex_decode(one.substr(colon + 1), tpm::Digest::most));
    CS_TRY(const tpm::Digest digest, tpm::Digest::from(*algorithm, bytes));
    out.digests.push_back(digest);
  }
  return out;
}

using Section = std::function<void(TomlReader&)>;

void read_tpm(TomlReader& r, DaemonConfig& out) {
  r.text("tcti", out.tcti, max_path);
  r.text("owner_auth", out.owner_auth, max_path, 0);
  r.text("endorsement_auth", out.endorsement_auth, max_path, 0);
  r.parsed("boot_registers", out.boot_registers);
  r.number("static_pcr", out.static_pcr, 0, 23);
  r.parsed("event_register", out.event_register, parse_register);
  r.flag("resettable", out.resettable);
  r.list("explained_static", out.explained_static, 16, parse_foreign);
  r.list("explained_events", out.explained_events, 16, parse_foreign);
  r.text("boot_log", out.boot_log, max_path, 0);
  r.text("ima_log", out.ima_log, max_path, 0);
}

void read_network(TomlReader& r, DaemonConfig& out) {
  r.list("listen", out.listen, 8, parse_endpoint);
  r.text("carrier", out.carrier, max_path, 0);
  r.text("carrier_user", out.carrier_user, 32);
  r.text("carrier_socket", out.carrier_socket, max_socket, 0);
  r.text("carrier_socket_user", out.carrier_socket_user, 32);
}

void read_kernel(TomlReader& r, DaemonConfig& out) {
  r.flag("enabled", out.kernel);
  r.word<std::optional<xfrm::GateKind>>("gate", out.gate,
                                        {{"auto", std::nullopt},
                                         {"nft", xfrm::GateKind::nft},
                                         {"iptables", xfrm::GateKind::iptables}});
  r.numbers("udp_ports", out.udp_ports, xfrm::GateConfig::max_udp_ports, 1, 65535);
  r.number("translator_port", out.translator_port, 0, 65535);
  if (r.has("held_queue")) r.number("held_queue", out.held_queue.emplace(), 0, 65535);
  r.number("audit_seconds", out.audit_seconds, 1, 3600);
  r.text("vici", out.vici, max_socket, 0);
}

std::map<std::string, Section, std::less<>> sections_for(DaemonConfig& out) {
  return {{"tpm", [&out](TomlReader& r) { read_tpm(r, out); }},
          {"state",
           [&out](TomlReader& r) {
             r.text("directory", out.state_directory, max_path - 32);
             r.text("approver", out.approver, max_path, 0);
           }},
          {"trust",
           [&out](TomlReader& r) {
             r.text("vendor_roots", out.vendor_roots, max_path);
             r.text("digest_lists", out.digest_lists, max_path);
           }},
          {"network", [&out](TomlReader& r) { read_network(r, out); }},
          {"sockets",
           [&out](TomlReader& r) {
             r.text("control", out.control_socket, max_socket);
             r.text("signer", out.signer_socket, max_socket);
             r.text("signer_user", out.signer_user, 32);
           }},
          {"kernel", [&out](TomlReader& r) { read_kernel(r, out); }}};
}

Result<void> check(const DaemonConfig& config, const std::string& name) {
  RegisterOptions registers;
  registers.static_pcr = config.static_pcr;
  registers.events = config.event_register;
  registers.resettable = config.resettable;
  CS_CHECK(check_registers(registers).context(name));
  if (config.has_event_index() && config.owner_auth.empty()) {
    return Error(ErrorKind::invalid,
                 name +
                     ": tpm.event_register: an NV index needs tpm.owner_auth, or else anybody "
                     "could remove it and make it again")
        .with_hint("take a PCR, or give the owner hierarchy an auth value");
  }
  return check_boot_registers(config.boot_registers, config.static_pcr, config.event_register)
      .context(name + ": tpm.boot_registers");
}

}  // namespace

Result<DaemonConfig> parse_daemon_config(std::string_view text, const std::string& name) {
  const TomlFile file{name, "the installed sample, examples/keymsd.toml, lists them"};
  CS_TRY(const toml::table parsed, parse_toml(text, file));
  DaemonConfig out;
  CS_TRY(out.boot_registers, tpm::PcrSelection::parse("sha256:0,1,2,3,4,5,6,7"));
  const auto sections = sections_for(out);
  for (const auto& [key, node] : parsed) {
    const auto section = sections.find(key.str());
    if (section == sections.end() || !node.is_table()) {
      std::vector<Candidate> known;
      known.reserve(sections.size());
      for (const auto& [one, read] : sections) known.push_back({one, one});
      return toml_unknown(file, key, "no section is called [" + std::string(key.str()) + "]",
                          known);
    }
    TomlReader reader(*node.as_table(), file, section->first);
    section->second(reader);
    CS_CHECK(reader.finish());
  }
  CS_CHECK(check(out, name));
  return out;
}

std::set<std::string> daemon_config_fields() {
  std::set<std::string> fields;
  DaemonConfig config;
  const TomlFile file{"", ""};
  const toml::table nothing;
  for (const auto& [name, section] : sections_for(config)) {
    TomlReader reader(nothing, file, name);
    section(reader);
    for (const std::string& field : reader.asked()) {
      std::string whole = name;
      fields.insert(whole.append(".").append(field));
    }
  }
  return fields;
}

Result<DaemonConfig> read_daemon_config(const std::string& path) {
  CS_TRY(const auto bytes, tpm::read_small_file(path, max_file));
  return parse_daemon_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

// What decides what this gateway accepts and to whom it listens; where its files lie does not.
Hash configuration_digest(const DaemonConfig& config) {
  CborWriter out(max_file);
  out.map(8);
  out.key(0).text(config.boot_registers.text());
  out.key(1).number(config.static_pcr);
  out.key(2).array(2).number(static_cast<std::uint8_t>(config.event_register.kind));
  out.number(config.event_register.number);
  out.key(3).boolean(config.resettable);
  out.key(4).boolean(config.kernel);
  out.key(5).array(config.udp_ports.size());
  for (const std::uint16_t port : config.udp_ports) out.number(port);
  out.key(6).number(config.translator_port);
  out.key(7).number(config.audit_seconds);
  const auto bytes = out.finish("the configuration");
  // Nothing in it can be as long as the limit.
  return domain_hash("countersign configuration v1", {bytes.ok() ? ByteView(*bytes) : ByteView()});
}

}  // namespace cs::keyms
