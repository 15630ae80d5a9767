// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>

#include "tools/bench/measure.h"
#include "tools/bench/tpm_signing.h"

namespace cs::bench {

namespace {

constexpr std::uint32_t queue_length = 2048;
constexpr std::size_t sample_size = 256;

// What comes to an interface, before any rule.
Result<UniqueFd> open_capture(const Netns& netns, const char* interface) {
  return netns.run([&]() -> Result<UniqueFd> {
    UniqueFd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return from_errno(errno, "opening a packet socket").with_hint("run as root");
    const int size = 64 << 20;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(::if_nametoindex(interface));
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0)
      return from_errno(errno, std::string("capturing on ") + interface);
    return socket;
  });
}

using Captured = std::vector<std::vector<std::uint8_t>>;

Result<Captured> capture(int socket, std::size_t count) {
  Captured packets;
  std::vector<std::uint8_t> memory(max_packet);
  while (packets.size() < count) {
    pollfd readable{socket, POLLIN, 0};
    if (::poll(&readable, 1, 2000) <= 0) break;
    const ssize_t size = ::recv(socket, memory.data(), memory.size(), 0);
    if (size < 0) return from_errno(errno, "capturing a packet");
    Layout at;
    const auto end = memory.begin() + size;
    if (find_layout(ByteView(memory).first(static_cast<std::size_t>(size)), {}, at) == Reason::none)
      packets.emplace_back(memory.begin(), end);
  }
  return packets;
}

// Verifies it as the receiver would, and leaves in `packet` what it was before.
Reason verify(Verifier& verifier, PacketHasher& hasher, const Now& now,
              std::vector<std::uint8_t>& packet) {
  const std::vector<std::uint8_t> copy = packet;  // stripping moves bytes over the extension
  Layout at;
  Reason reason = find_layout(copy, {}, at);
  Verifier::Candidate candidate;
  if (reason == Reason::none) reason = verifier.admit(at, copy, now, candidate);
  if (reason != Reason::none) return reason;
  const std::size_t size = candidate.extension.all.size();
  const ByteSpan rest = remove_extension(at, packet, size, candidate.extension.fields.original);
  packet = {rest.begin(), rest.end()};  // in AH it begins later in the same memory
  if (at.protocol == Protocol::ah) at.ah_header -= size;
  hasher.add(at, packet, candidate.digest);
  hasher.run();
  return verifier.verify(candidate);
}

}  // namespace

Result<void> prove_signatures(const Context& context, const Mode& mode, const Network& network) {
  const Options& options = context.options;
  CS_TRY(Rig rig, Rig::create(context, mode, network, queue_length));
  CS_TRY(const UniqueFd socket, open_capture(network.b(), "right"));
  const PacketSet packets = make_packets(options, Target::sink, sample_size);
  EngineThreads threads(rig, context);
  CS_CHECK(rig.send(packets, 0, packets.size()));
  CS_TRY(Captured captured, capture(socket.get(), packets.size()));
  CS_CHECK(threads.stop().context("mode " + mode.name));

  const auto failed = [&](const std::string& why) {
    return Error(ErrorKind::unverified, "mode " + mode.name + " does not sign well: " + why);
  };
  if (captured.size() != packets.size()) {
    return failed("of " + std::to_string(packets.size()) + " packets " +
                  std::to_string(captured.size()) + " came out");
  }
  Verifier verifier{Verifier::Options{}};
  CS_TRY(InboundKey key, mode.first == EngineKind::sign_tpm
                             ? context.keys.inbound(options.queues, context.tpm->public_key())
                             : context.keys.inbound(options.queues));
  CS_CHECK(verifier.add_key(std::move(key)));
  CS_TRY(PacketHasher hasher, PacketHasher::create(1));
  const Now now = Now::read(context.clock);
  for (auto& packet : captured) {
    const Reason reason = verify(verifier, hasher, now, packet);
    if (reason != Reason::none)
      return failed("a packet is refused with " + std::string(to_string(reason)));
    const std::size_t header = options.ipv6 ? 40 : 20;
    ByteReader reader(packet);
    std::uint32_t sequence = 0;
    const bool is_known = reader.skip(header + sequence_offset(options.protocol)) &&
                          reader.u32be(sequence) && sequence < packets.size();
    if (!is_known || !std::ranges::equal(packet, packets.at(sequence)))
      return failed("a packet without its signature is not what it was");
  }
  return {};
}

}  // namespace cs::bench
