// SPDX-License-Identifier: GPL-3.0-or-later
// Many packets signed, verified and stripped in one process: every one comes back as it was,
// nothing asks for memory, and the process does not grow. CS_ENDURANCE_PACKETS says how many; by
// default few.
#include "tests/support/endurance.h"

#include "nfq-signer/inbound.h"
#include "tests/unit/count_allocations.h"
#include "tests/unit/wire_packets.h"

namespace cs::test {
namespace {

constexpr std::size_t batch_size = 64;
// Both ends and one batch of packets, in memory that is taken once.
class Path {
 public:
  Path() : signing_(ends_.signing()), key_(ends_.outbound()), verifier_(Verifier::Options{}) {
    get(verifier_.add_key(ends_.inbound()));
    std::mt19937 random(21);
    for (std::size_t i = 0; i < batch_size; ++i) {
      packets_.push_back(make_packet(all_shapes[i % all_shapes.size()], 20 + i, random));
      layouts_.push_back(layout_of(packets_.back()));
      grown_.emplace_back(packets_.back().size() + max_extension);
    }
    to_verify_.reserve(batch_size);
  }

  // One batch there and back. How many came back as they were.
  std::size_t travel() {
    for (std::size_t i = 0; i < batch_size; ++i) hasher_.add(layouts_[i], packets_[i], digests_[i]);
    hasher_.run();
    batch_.close(key_, digests_);
    batch_.set_signature(get(signing_.sign(batch_.statement())));
    to_verify_.clear();
    for (std::size_t i = 0; i < batch_size; ++i) receive(i);
    hasher_.run();
    verifier_.verify(to_verify_);
    std::size_t good = 0;
    for (std::size_t i = 0; i < batch_size; ++i) {
      if (candidates_[i].reason == Reason::none &&
          std::equal(stripped_[i].begin(), stripped_[i].end(), packets_[i].begin(),
                     packets_[i].end()))
        ++good;
    }
    return good;
  }

 private:
  void receive(std::size_t i) {
    const ByteSpan extension =
        ByteSpan(extensions_[i]).first(batch_.extension_size(layouts_[i], i));
    batch_.write_extension(i, {}, extension);
    const ByteSpan packet = ByteSpan(grown_[i]).first(packets_[i].size() + extension.size());
    insert_extension(layouts_[i], packets_[i], extension, packet);
    Layout at;
    candidates_[i] = {};
    if (find_layout(packet, nat_t_ports, at) != Reason::none ||
        verifier_.admit(at, packet, {WallTime{}, BootTime{}}, candidates_[i]) != Reason::none) {
      candidates_[i].reason = Reason::malformed;
      return;
    }
    // As it is now: stripping moves bytes over it.
    candidates_[i].extension.move_to(extension);
    stripped_[i] = remove_extension(at, packet, extension.size(), {});
    if (at.protocol == Protocol::ah) at.ah_header -= extension.size();
    hasher_.add(at, stripped_[i], candidates_[i].digest);
    to_verify_.push_back(&candidates_[i]);
  }

  Ends ends_;
  SigningKey signing_;
  OutboundKey key_;
  Verifier verifier_;
  PacketHasher hasher_ = get(PacketHasher::create(batch_size));
  OutboundBatch batch_{batch_size};
  std::vector<Packet> packets_;
  std::vector<Layout> layouts_;
  std::vector<Packet> grown_;
  std::array<Digest, batch_size> digests_{};
  std::array<std::array<std::uint8_t, max_extension>, batch_size> extensions_{};
  std::array<Verifier::Candidate, batch_size> candidates_;
  std::array<ByteSpan, batch_size> stripped_;
  std::vector<Verifier::Candidate*> to_verify_;
};

TEST(Endurance, MemoryStaysFlatAndNoPacketIsLost) {
  const std::uint64_t rounds = repetitions("CS_ENDURANCE_PACKETS", 50'000) / batch_size;
  const auto path = std::make_unique<Path>();
  for (int i = 0; i < 200; ++i) ASSERT_EQ(path->travel(), batch_size);  // fills the window
  const std::size_t resident = resident_bytes();
  const std::size_t asked = allocations();
  for (std::uint64_t i = 0; i < rounds; ++i) ASSERT_EQ(path->travel(), batch_size) << i;
  EXPECT_EQ(allocations(), asked);
  EXPECT_LE(resident_bytes(), resident + growth_allowed);
  RecordProperty("packets", std::to_string(rounds * batch_size));
}

}  // namespace
}  // namespace cs::test
