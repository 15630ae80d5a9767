// SPDX-License-Identifier: GPL-3.0-or-later
// The messages between keymsd and nfq-signer: docs/PROTOCOL.md, "The data plane's socket". Bytes to
// structs and back; the socket is in signer_channel.h.
//
// What is decoded has kept to every rule that one message can break by itself: lengths, enums,
// bounds, no byte too many. encode() holds what we send to the same rules.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"

namespace cs::keyms {

inline constexpr std::uint16_t signer_protocol_version = 1;
inline constexpr std::size_t max_message = 1024;
inline constexpr std::size_t max_addresses = 16;
inline constexpr std::uint16_t max_workers = 256;
// Sign requests that may be unanswered at a time; what is above gets `busy`.
inline constexpr std::size_t max_unanswered = 256;
inline constexpr std::uint64_t max_not_after = 253402300799;  // the last second of the year 9999

// Sizes and numbers of docs/WIRE.md. nfq-signer/key_from_keyms.h holds them to the data plane's.
inline constexpr std::size_t statement_size = 153;
inline constexpr std::size_t signature_size = 64;
inline constexpr std::size_t gate_secret_size = 16;
inline constexpr std::size_t private_key_size = 32;
inline constexpr std::uint16_t max_batch_count = 32768;
inline constexpr std::uint8_t statement_version = 1;
inline constexpr std::string_view statement_domain = "countersign batch v1";

using Instance = std::array<std::uint8_t, 16>;
using SessionId = std::array<std::uint8_t, 32>;
using PcrDigest = std::array<std::uint8_t, 32>;
using Statement = std::array<std::uint8_t, statement_size>;
using Signature = std::array<std::uint8_t, signature_size>;

enum class Suite : std::uint8_t { p256_node16 = 1, p256_node32, ed25519_node16, ed25519_node32 };

[[nodiscard]] constexpr std::size_t node_size(Suite suite) noexcept {
  return suite == Suite::p256_node16 || suite == Suite::ed25519_node16 ? 16 : 32;
}
// P-256: uncompressed, so its first byte is 4. Ed25519: RFC 8032.
[[nodiscard]] constexpr std::size_t public_key_size(Suite suite) noexcept {
  return suite == Suite::p256_node16 || suite == Suite::p256_node32 ? 65 : 32;
}

// What happens to a peer's packets.
enum class Mode : std::uint8_t {
  off,        // not signed, not looked at
  sign_only,  // ours are signed; the peer's are stripped, but not judged
  audit,      // the peer's are verified and counted, and accepted whatever comes out
  enforce,    // only what verifies is accepted
};

// An answer to a sign request.
enum class SignStatus : std::uint8_t {
  done,              // the signature follows
  busy,              // too many at once; nothing was looked at, ask again later
  failed,            // the key's device failed, for a reason that is in keymsd's log
  unknown_key,       // not a key that signs here, or it has ended
  not_a_statement,   // wrong size, first words, version or count
  other_suite,       // suite or node size are not the key's
  other_session,     // the session is not the key's
  other_direction,   // the direction is not the key's
  other_key,         // it names another key than the request
  other_pcr,         // the PCR digest is not the one that introduced the key
  lane_not_allowed,  // not a lane keymsd has given out
  batch_repeated,    // this number of this lane, or a later one, was signed already
  count,             // how many there are
};
[[nodiscard]] std::string_view to_string(SignStatus status) noexcept;

// The two tables of nfq-signer; a key id is unique within each.
enum class Table : std::uint8_t { outbound, inbound };

struct Address {
  std::array<std::uint8_t, 16> bytes{};
  std::uint8_t size = 4;  // 4: IPv4, 16: IPv6
  [[nodiscard]] ByteView view() const noexcept { return ByteView(bytes).first(size); }
  friend bool operator==(const Address&, const Address&) = default;
};

struct KeyScope {
  SessionId session{};
  PcrDigest pcr_digest{};
  std::uint32_t key = 0;
  std::uint8_t direction = 0;  // 0: from the session's initiator; 1: towards it
  Suite suite = Suite::p256_node16;
  friend bool operator==(const KeyScope&, const KeyScope&) = default;
};

// Inclusive at both ends.
struct LaneRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  friend bool operator==(const LaneRange&, const LaneRange&) = default;
};

// At the earlier of the two.
struct KeyEnd {
  std::uint64_t not_after = 0;    // seconds since 1970
  std::uint32_t lifetime_ms = 0;  // from receipt, on the receiver's CLOCK_BOOTTIME; above 0
  friend bool operator==(const KeyEnd&, const KeyEnd&) = default;
};

// From nfq-signer.

struct Hello {
  std::uint16_t version = signer_protocol_version;
  std::uint16_t workers = 1;  // 1 to max_workers; each signs in a lane of its own
  Instance instance{};        // random, drawn once by each process
};
struct SignRequest {
  std::uint64_t ticket = 0;  // the answer bears it
  std::uint32_t key = 0;
  Statement statement{};
};
// Since the process started.
struct Status {
  std::uint64_t packets_signed = 0;
  std::uint64_t batches_signed = 0;
  std::uint64_t packets_accepted = 0;
  std::uint64_t packets_dropped = 0;
  std::uint64_t bad_signatures = 0;
  friend bool operator==(const Status&, const Status&) = default;
};

// The packets of every worker are verified with this inbound key from now on: the peer may use it.
struct Applied {
  std::uint32_t key = 0;
};

// From keymsd.

struct Welcome {
  std::uint16_t version = signer_protocol_version;
};
struct Peer {
  std::uint32_t id = 0;
  Mode mode = Mode::enforce;
  std::vector<Address> addresses;  // at most max_addresses
};
struct KeyRecord {
  std::uint32_t peer = 0;
  KeyScope scope;
  SecretBytes gate_secret;
  LaneRange lanes;
  KeyEnd end;
};
// nfq-signer signs itself.
struct SessionKey {
  SecretBytes private_key;
};
// keymsd signs, on request.
struct RemoteKey {
  std::vector<std::uint8_t> public_key;
};
struct OutboundKey {
  KeyRecord record;
  std::variant<SessionKey, RemoteKey> signer;
};
struct InboundKey {
  KeyRecord record;
  std::vector<std::uint8_t> public_key;
};
struct RemoveKey {
  std::uint32_t key = 0;
  Table table = Table::outbound;
};
struct RemovePeer {
  std::uint32_t id = 0;
};
struct EndOfState {};
struct SignReply {
  std::uint64_t ticket = 0;
  SignStatus status = SignStatus::failed;
  Signature signature{};  // only with `done`
};

using FromSigner = std::variant<Hello, SignRequest, Status, Applied>;
using FromKeymsd = std::variant<Welcome, Peer, OutboundKey, InboundKey, RemoveKey, RemovePeer,
                                EndOfState, SignReply>;

// The message as bytes in `out`, which should have max_message. When it fails, part of a secret may
// be there: wipe it.
Result<ByteView> encode(const Hello& message, ByteSpan out);
Result<ByteView> encode(const SignRequest& message, ByteSpan out);
Result<ByteView> encode(const Status& message, ByteSpan out);
Result<ByteView> encode(const Applied& message, ByteSpan out);
Result<ByteView> encode(const Welcome& message, ByteSpan out);
Result<ByteView> encode(const Peer& message, ByteSpan out);
Result<ByteView> encode(const OutboundKey& message, ByteSpan out);
Result<ByteView> encode(const InboundKey& message, ByteSpan out);
Result<ByteView> encode(const RemoveKey& message, ByteSpan out);
Result<ByteView> encode(const RemovePeer& message, ByteSpan out);
Result<ByteView> encode(const EndOfState& message, ByteSpan out);
Result<ByteView> encode(const SignReply& message, ByteSpan out);

// One whole message. Secrets go straight into memory of their own; `message` stays the caller's to
// wipe.
Result<FromSigner> decode_from_signer(ByteView message);
Result<FromKeymsd> decode_from_keymsd(ByteView message);

}  // namespace cs::keyms
