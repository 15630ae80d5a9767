// SPDX-License-Identifier: GPL-3.0-or-later
// The messages between a carrier and the attestation service: docs/PROTOCOL.md, "The attestation
// service". Bytes to structs and back; the socket is in service_channel.h. Some are for keymsd and
// the worker it starts itself only: "The network worker" there.
//
// What is decoded has kept to every rule that one message can break by itself. encode() holds what
// we send to the same rules.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"
#include "keyms/carrier/refusal.h"
#include "keyms/hash.h"
#include "xfrm/address.h"

namespace cs::keyms::carrier {

inline constexpr std::uint16_t service_version = 1;
inline constexpr std::size_t max_data = 32768;  // a session's message: hello.h
inline constexpr std::size_t max_service_message = max_data + 5;
inline constexpr std::size_t max_carrier_name = 32;
inline constexpr std::size_t min_channel_secret = 32;
inline constexpr std::size_t max_channel_secret = 64;
inline constexpr std::size_t max_certificate = 4096;
inline constexpr std::size_t max_address_text = 64;
inline constexpr std::size_t max_reason = 32;
inline constexpr std::size_t max_sentence = 255;
inline constexpr std::size_t max_endpoints = 8;

// The attestation protocol of docs/PROTOCOL.md, and its only version.
inline constexpr std::uint16_t attestation_protocol = 1;
inline constexpr std::uint8_t attestation_version = 1;

struct Endpoint {
  net::Address address;
  std::uint16_t port = 0;  // not 0
  bool operator==(const Endpoint&) const = default;
};

// A reason code, as `silence`, and a sentence for people.
struct Reason {
  std::string code;
  std::string sentence;
  bool operator==(const Reason&) const = default;
};

// From the carrier.

struct Hello {
  std::uint16_t version = service_version;
  bool opens_channels = false;  // it can follow `open`
  std::string name;             // "strongswan"
};
struct Connect {
  std::uint32_t channel = 0;
  bool opened_by_peer = false;
  std::uint16_t protocol = attestation_protocol;
  std::uint8_t lowest_version = attestation_version;
  std::uint8_t highest_version = attestation_version;
  SecretBytes secret;                     // that only the channel's two ends can know
  std::vector<std::uint8_t> certificate;  // ours that authenticated the channel, DER; or none
  std::vector<std::uint8_t> peer_certificate;
  std::string peer;     // NeID, as far as it is known
  std::string address;  // for people
};
// An answer to open.
struct Unreachable {
  std::string peer;
  std::string sentence;
};
// From the worker only: what it took and refused since it started.
struct Stats {
  std::uint64_t channels = 0;  // open now
  std::uint64_t unproven = 0;  // connections now that have shown nothing yet
  Counters counters;
};

// From both.

// One whole message of the session.
struct Data {
  std::uint32_t channel = 0;
  std::vector<std::uint8_t> bytes;
};
struct Close {
  std::uint32_t channel = 0;
  Reason reason;
};

// From the service.

struct Welcome {
  std::uint16_t version = service_version;
};
struct Open {
  std::string peer;
  std::vector<Endpoint> endpoints;
};
struct Grant {
  std::uint32_t channel = 0;
};
struct Deny {
  std::uint32_t channel = 0;
  Reason reason;
};

// To the worker only. Its configuration is whole at Configured, and then takes the place of the one
// before.
struct OwnEndpoint {
  std::string ne_id;
  std::vector<std::uint8_t> certificate;  // DER, self-signed, of a key on P-256
  SecretBytes private_key;                // its scalar, 32 bytes
};
struct KnownPeer {
  std::string ne_id;
  std::vector<Hash> core_properties;          // one policy, or two while a plan is applied
  std::vector<std::uint8_t> attestation_key;  // its Name; none: whoever enrols it says so later
  std::vector<net::Address> pinned;           // it has slots of its own when it calls from there
};
struct Listener {};  // with the listening socket
struct Configured {};
// With a TCP socket that is connected, or about to be.
struct Dial {
  std::string peer;
  Endpoint endpoint;
};

inline constexpr std::size_t private_key_size = 32;
inline constexpr std::size_t max_values = 4;
inline constexpr std::size_t max_name = 66;
inline constexpr std::size_t max_pinned = 16;

using FromCarrier = std::variant<Hello, Connect, Data, Close, Unreachable, Stats>;
using FromService = std::variant<Welcome, Open, Data, Grant, Deny, Close, OwnEndpoint, KnownPeer,
                                 Listener, Configured, Dial>;

// The message as bytes in `out`, which should have max_service_message. When it fails, part of a
// secret may be there: wipe it.
Result<ByteView> encode(const Hello& message, ByteSpan out);
Result<ByteView> encode(const Connect& message, ByteSpan out);
Result<ByteView> encode(const Data& message, ByteSpan out);
Result<ByteView> encode(const Close& message, ByteSpan out);
Result<ByteView> encode(const Unreachable& message, ByteSpan out);
Result<ByteView> encode(const Stats& message, ByteSpan out);
Result<ByteView> encode(const Welcome& message, ByteSpan out);
Result<ByteView> encode(const Open& message, ByteSpan out);
Result<ByteView> encode(const Grant& message, ByteSpan out);
Result<ByteView> encode(const Deny& message, ByteSpan out);
Result<ByteView> encode(const OwnEndpoint& message, ByteSpan out);
Result<ByteView> encode(const KnownPeer& message, ByteSpan out);
Result<ByteView> encode(const Listener& message, ByteSpan out);
Result<ByteView> encode(const Configured& message, ByteSpan out);
Result<ByteView> encode(const Dial& message, ByteSpan out);

// One whole message. Refused: what only the worker, or keymsd to its worker, may send. Secrets go
// straight into memory of their own; `message` stays the caller's to wipe.
Result<FromCarrier> decode_from_carrier(ByteView message);
Result<FromService> decode_from_service(ByteView message);
// The same, with those.
Result<FromCarrier> decode_from_worker(ByteView message);
Result<FromService> decode_to_worker(ByteView message);

}  // namespace cs::keyms::carrier
