// SPDX-License-Identifier: GPL-3.0-or-later
// The questions that only a live machine answers.
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/timex.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include "tools/doctor/machine.h"
#include "tpm/device/device.h"
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

template <class Algorithm>
void put_algorithm(netlink::Request& request, std::uint16_t type, const char* name,
                   std::size_t key_size, std::uint32_t icv_bits) {
  std::vector<std::uint8_t> bytes(sizeof(Algorithm) + key_size);
  Algorithm header{};
  std::strncpy(header.alg_name, name, sizeof(header.alg_name) - 1);
  header.alg_key_len = static_cast<std::uint32_t>(key_size * 8);
  if constexpr (requires { header.alg_icv_len; }) header.alg_icv_len = icv_bits;
  if constexpr (requires { header.alg_trunc_len; }) header.alg_trunc_len = icv_bits;
  std::memcpy(bytes.data(), &header, sizeof(header));
  // A key of zeros protects nothing here, and some ciphers refuse one.
  for (std::size_t i = 0; i < key_size; ++i) {
    bytes[sizeof(header) + i] = static_cast<std::uint8_t>(i + 1);
  }
  request.put(type, bytes);
}

netlink::Request sa_request(SaQuestion question) {
  netlink::Request request(XFRM_MSG_NEWSA, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
  auto& sa = request.fixed<xfrm_usersa_info>();
  sa.family = question.ipv6 ? AF_INET6 : AF_INET;
  // From ::1 or 127.0.0.1 to itself.
  if (question.ipv6) {
    sa.id.daddr.a6[3] = sa.saddr.a6[3] = htonl(1);
  } else {
    sa.id.daddr.a4 = sa.saddr.a4 = htonl(INADDR_LOOPBACK);
  }
  sa.id.spi = htonl(0x1000);
  sa.id.proto = question.kind == SaKind::ah_sha256 ? IPPROTO_AH : IPPROTO_ESP;
  sa.mode = XFRM_MODE_TRANSPORT;
  sa.sel.family = sa.family;
  sa.lft.soft_byte_limit = sa.lft.hard_byte_limit = XFRM_INF;
  sa.lft.soft_packet_limit = sa.lft.hard_packet_limit = XFRM_INF;
  if (question.kind == SaKind::esp_gcm) {
    put_algorithm<xfrm_algo_aead>(request, XFRMA_ALG_AEAD, "rfc4106(gcm(aes))", 36, 128);
    return request;
  }
  put_algorithm<xfrm_algo_auth>(request, XFRMA_ALG_AUTH_TRUNC, "hmac(sha256)", 32, 128);
  if (question.kind == SaKind::esp_cbc_sha256) {
    put_algorithm<xfrm_algo>(request, XFRMA_ALG_CRYPT, "cbc(aes)", 32, 0);
  }
  return request;
}

Result<void> try_sa(SaQuestion question) {
  return in_passing([&]() -> Result<void> {
    CS_TRY(netlink::Socket socket, netlink::Socket::open(NETLINK_XFRM));
    return socket.tell(sa_request(question), "making an SA");
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
