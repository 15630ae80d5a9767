// SPDX-License-Identifier: GPL-3.0-or-later
// The questions that only a live machine answers.
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/timex.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include "tools/doctor/machine.h"
#include "tpm/device/device.h"
#include "xfrm/install/request.h"
#include "xfrm/netlink/socket.h"
#include "xfrm/route/routes.h"
#include "xfrm/state/kernel.h"

namespace cs::doctor {

namespace {

constexpr std::chrono::seconds patience(5);

// Calls ask() where it can change nothing: the namespace goes with the thread, and with it all that
// was made in it.
template <class Ask>
Result<void> in_passing(const Ask& ask) {
  return std::async(std::launch::async,
                    [&]() -> Result<void> {
                      if (unshare(CLONE_NEWNET) != 0) {
                        return from_errno(errno, "making a network namespace to ask in");
                      }
                      return ask();
                    })
      .get();
}

// From 127.0.0.1 or ::1 to itself.
xfrm::Sa sa_to_try(SaQuestion question) {
  xfrm::Sa sa;
  sa.source.ipv6 = question.ipv6;
  if (question.ipv6) {
    sa.source.bytes.back() = 1;
  } else {
    sa.source.bytes = {127, 0, 0, 1};
  }
  sa.id = {sa.source, 0x1000, IPPROTO_ESP, {}};
  sa.selector.source.address.ipv6 = sa.selector.destination.address.ipv6 = question.ipv6;
  sa.replay.window = 32;
  if (question.kind == SaKind::esp_gcm) {
    sa.aead = {"rfc4106(gcm(aes))", 288, 128};
    return sa;
  }
  sa.authentication = {"hmac(sha256)", 256, 128};
  if (question.kind == SaKind::ah_sha256) sa.id.protocol = IPPROTO_AH;
  if (question.kind == SaKind::esp_cbc_sha256) sa.encryption = {"cbc(aes)", 256, 0};
  return sa;
}

// Keys that protect nothing; of zeros some ciphers would refuse one.
Result<xfrm::SaWithKeys> with_keys(const xfrm::Sa& sa) {
  std::size_t bits = 0;
  for (const auto& one : {sa.aead, sa.encryption, sa.authentication})
    bits += one ? one->key_bits : 0;
  CS_TRY(SecretBytes keys, SecretBytes::create(bits / 8));
  std::uint8_t next = 0;
  for (std::uint8_t& byte : keys.bytes()) byte = ++next;
  return xfrm::SaWithKeys{sa, std::move(keys)};
}

Result<void> try_sa(SaQuestion question) {
  return in_passing([&]() -> Result<void> {
    CS_TRY(netlink::Socket socket, xfrm::open_socket());
    CS_TRY(const xfrm::SaWithKeys sa, with_keys(sa_to_try(question)));
    CS_TRY(netlink::Request request, xfrm::add_sa_request(sa, 0));
    return socket.tell(std::move(request), "making an SA");
  });
}

// A command without effect since Linux 3.8; whoever is to answer it has to be there.
Result<void> try_nfqueue() {
  return in_passing([]() -> Result<void> {
    CS_TRY(netlink::Socket socket, netlink::Socket::open(NETLINK_NETFILTER));
    netlink::Request request((NFNL_SUBSYS_QUEUE << 8U) | NFQNL_MSG_CONFIG, NLM_F_ACK);
    request.fixed<nfgenmsg>().nfgen_family = AF_UNSPEC;
    nfqnl_msg_config_cmd bind{};
    bind.command = NFQNL_CFG_CMD_PF_BIND;
    bind.pf = htons(AF_INET);
    request.put(NFQA_CFG_CMD, {reinterpret_cast<const std::uint8_t*>(&bind), sizeof(bind)});
    return socket.tell(std::move(request), "asking for NFQUEUE");
  });
}

Result<void> try_rules_here(RuleKind kind) {
  return in_passing([&]() -> Result<void> {
    RuleOptions options;
    if (kind != RuleKind::tc) return cs::try_rules(kind, options);
    options.egress_interfaces = {"lo"};
    return apply_rules(kind, options);  // there is no trying with tc
  });
}

Result<std::optional<xfrm::Defaults>> read_defaults() {
  CS_TRY(netlink::Socket socket, xfrm::open_socket());
  return xfrm::read_defaults(socket);
}

Result<std::vector<OffloadFinding>> find_offloads() {
  CS_TRY(const OffloadProbe probe, OffloadProbe::create());
  return probe.find_offloads();
}

Result<std::uint32_t> path_mtu(const net::Address& peer) {
  CS_TRY(netlink::Socket socket, netlink::Socket::open());
  rt::Peer there;
  there.address = peer;
  CS_TRY(const rt::PathMtu path, rt::path_mtu(socket, there));
  return path.mtu;
}

Result<bool> is_clock_synchronised() {
  timex state{};
  const int answer = adjtimex(&state);
  if (answer < 0) return from_errno(errno, "asking the kernel about its clock");
  return answer != TIME_ERROR && (static_cast<unsigned>(state.status) & STA_UNSYNC) == 0;
}

Result<tpm::Status> read_tpm() {
  // tpm2-tss does not tell why it cannot open it.
  if (access("/dev/tpmrm0", R_OK | W_OK) != 0) return from_errno(errno, "opening /dev/tpmrm0");
  auto opened = tpm::Device::open({.tcti = "device:/dev/tpmrm0"});
  CS_TRY(tpm::Device device, std::move(opened));
  return tpm::read_status(device);
}

// Several checks want the same; the first one asks.
template <class T>
std::function<Result<T>()> once(Result<T> (*ask)()) {
  return [ask, kept = std::make_shared<std::optional<Result<T>>>()] {
    if (!*kept) kept->emplace(ask());
    return **kept;
  };
}

}  // namespace

Machine this_machine(const Clock& clock) {
  Machine machine;
  machine.clock = &clock;
  using Told = std::map<std::vector<std::string>, Result<CommandOutcome>>;
  machine.run = [told = std::make_shared<Told>()](const std::vector<std::string>& argv) {
    const auto known = told->find(argv);
    if (known != told->end()) return known->second;
    return told->emplace(argv, run_command(argv, {}, patience)).first->second;
  };
  machine.try_sa = try_sa;
  machine.try_nfqueue = try_nfqueue;
  machine.try_rules = try_rules_here;
  machine.read_defaults = once(read_defaults);
  machine.find_offloads = find_offloads;
  machine.path_mtu = path_mtu;
  machine.is_clock_synchronised = is_clock_synchronised;
  machine.read_tpm = once(read_tpm);
  return machine;
}

}  // namespace cs::doctor
