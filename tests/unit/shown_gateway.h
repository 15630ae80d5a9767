// SPDX-License-Identifier: GPL-3.0-or-later
// A gateway with a TPM of its own that boots, logs, measures files and shows all of it: as it
// should be, until a test makes it bad in one point.
#pragma once

#include <algorithm>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "keyms/evidence/collect.h"
#include "keyms/evidence/endorsement.h"
#include "keyms/evidence/registers.h"
#include "keyms/evidence/verifier.h"
#include "tests/support/manual_clock.h"
#include "tests/support/swtpm.h"
#include "tests/support/tcti_tap.h"
#include "tests/support/unwrap.h"
#include "tests/unit/boot_logs.h"
#include "tests/unit/certificate_maker.h"
#include "tests/unit/ima_lists.h"
#include "tests/unit/sealing.h"
#include "tests/unit/temporary_directory.h"
#include "tpm/device/capability.h"
#include "tpm/evidence/name.h"

namespace cs::test {

inline keyms::Hash hash_of(std::string_view text) {
  keyms::Hash hash{};
  const auto digest = tpm::Hasher(tpm::HashAlgorithm::sha256).hash({view_of(text)});
  std::ranges::copy(digest.bytes(), hash.begin());
  return hash;
}

// The vendor's root certificate in a directory of its own.
class Roots {
 public:
  Roots() {
    directory_.write("root.pem", as_pem(make_certificate(Vendor::get().root())));
    read_.emplace(get(tpm::VendorRoots::read(directory_.path())));
  }
  [[nodiscard]] const tpm::VendorRoots* read() const { return &*read_; }

 private:
  TemporaryDirectory directory_;
  std::optional<tpm::VendorRoots> read_;
};

// All of one attestation, owned; a test may change any of it.
struct Shown {
  keyms::Collected collected;
  keyms::Signed endpoint;
  tpm::Bytes key_area;
  tpm::Bytes ima;
  tpm::Bytes session_key;
  tpm::Bytes endorsement_key;
  tpm::Bytes certificates;
  keyms::Evidence evidence;  // what is not said below

  keyms::Evidence view() const {
    keyms::Evidence shown = evidence;
    shown.attestation_key = key_area;
    shown.endpoint = endpoint.view();
    shown.session_key.public_key = session_key;
    collected.fill(shown);
    shown.logs.ima = ima;
    shown.endorsement_key = endorsement_key;
    shown.logs.endorsement = certificates;
    return shown;
  }
};

class ShownGateway {
 public:
  static constexpr std::string_view certificate = "the endpoint's certificate";
  static constexpr std::uint32_t event_index = 0x01d10300;

  explicit ShownGateway(tpm::CelRegister events = {tpm::CelRegister::Kind::pcr, 13})
      : device(get(tpm::Device::open(tap.options(prepared(tpm, events))))),
        owned(events.kind == tpm::CelRegister::Kind::nv_index),
        session(tpm::storage_root_key(owner())) {
    key_blobs = get(tpm::AttestationKey::create(device, session, {}));
    key.emplace(key_blobs, tpm::AttestationKey::Options{}, session);
    policy = good_policy(events);
    certify_endorsement_key();
    boot();
    policy.gateways[1].boot = {{0, {}}, {4, {}}, {7, {pcr(7)}}};
  }
  ~ShownGateway() { tap.decide({}); }
  ShownGateway(const ShownGateway&) = delete;
  ShownGateway& operator=(const ShownGateway&) = delete;
  ShownGateway(ShownGateway&&) = delete;
  ShownGateway& operator=(ShownGateway&&) = delete;

  keyms::Gateway& gateway() { return policy.gateways[1]; }
  [[nodiscard]] tpm::Auth owner() const { return owned ? owner_auth : tpm::Auth(); }

  // What firmware, kernel and keymsd do until they are ready.
  void boot() {
    start();
    log_static(tpm::CelEvent::core_properties, hash_of("the policy"));
    log_static(tpm::CelEvent::configuration, hash_of("the configuration"));
    log_first_events();
  }
  // The same, but for the records; others may have extended the static register.
  void start(const std::vector<tpm::ForeignEvent>& others = {}) {
    extend_boot_log();
    ima = ImaListMaker();
    measured_files = 0;
    ima.add("ima-ng", {ima_digest_part("sha256:", aggregate()), ima_name_part("boot_aggregate")});
    file("/usr/sbin/keymsd", 1);
    for (const auto& event : others) get(extend_pcr(device, gateway().static_pcr, event.digests));
    begin_static_log(others);
    if (gateway().event_register.kind == tpm::CelRegister::Kind::nv_index) define_index();
    begin_event_log();
  }
  void log_first_events() {
    log_event(tpm::CelEvent::certificate_valid, hash_of(certificate));
    log_event(tpm::CelEvent::measured, hash_of("the kernel's policies"));
  }
  // Anew, on a register that is at zeros.
  void begin_static_log(const std::vector<tpm::ForeignEvent>& others = {}) {
    static_log.reset();
    static_directory.emplace();
    static_register.emplace(gateway().static_pcr, std::vector{tpm::HashAlgorithm::sha256});
    static_log.emplace(get(tpm::OwnLog::open(device, *static_register,
                                             {.directory = static_directory->path()}, others)));
  }
  void begin_event_log() {
    const tpm::CelRegister& of = gateway().event_register;
    event_log.reset();
    event_directory.emplace();
    if (of.kind == tpm::CelRegister::Kind::pcr) {
      event_register =
          std::make_unique<tpm::OwnPcr>(of.number, std::vector{tpm::HashAlgorithm::sha256});
    } else {
      event_register =
          std::make_unique<tpm::OwnIndex>(tpm::ExtendIndex(of.number, index_auth), session);
    }
    event_log.emplace(
        get(tpm::OwnLog::open(device, *event_register, {.directory = event_directory->path()})));
  }
  void define_index() {
    if (!get(tpm::read_handles(device, event_index, event_index)).empty()) return;
    get(tpm::ExtendIndex::define(device, session, event_index, index_auth, owner_auth));
  }
  void reboot() {
    static_log.reset();
    event_log.reset();
    tpm.kill();
    static_cast<void>(read_clock(device));  // so that it notices
    get(tpm.power_on());
    get(device.recover());
  }

  void log_static(tpm::CelEvent event, const keyms::Hash& hash) {
    get(static_log->append(device, event, hash));
  }
  void log_event(tpm::CelEvent event, const keyms::Hash& hash) {
    get(event_log->append(device, event, hash));
  }
  void log_both(tpm::CelEvent event, std::string_view text) {
    get(static_log->append(device, event, view_of(text)));
    get(event_log->append(device, event, view_of(text)));
  }
  // The kernel measures a file.
  void file(std::string_view name, std::uint8_t content) {
    ima.add("ima-ng", {ima_digest_part("sha256:", Bytes(32, content)), ima_name_part(name)});
    extend_ima();
  }
  // PCR 10 gets what the list has got.
  void extend_ima() {
    auto log = get(tpm::ImaLog::open(tpm::Input(ima.binary)));
    tpm::Hasher hasher(tpm::HashAlgorithm::sha256);
    tpm::ImaEntry entry;
    while (get(log.next(entry))) {
      if (entry.number < measured_files) continue;
      const auto digest = entry.is_violation ? tpm::Digest(tpm::HashAlgorithm::sha256, 0xff)
                                             : hasher.hash({entry.hashed});
      get(extend_pcr(device, 10, {digest}));
      ++measured_files;
    }
  }
  tpm::Digest pcr(std::uint32_t index) {
    const auto values = get(read_pcrs(device, {{{tpm::HashAlgorithm::sha256, 1U << index}}}));
    return *values.find(tpm::HashAlgorithm::sha256, index);
  }

  // What all of the session's messages so far, and what the evidence states, come to.
  static keyms::Hash qualifying(const Shown& shown, std::string_view nonce) {
    return hash_of(std::string(nonce) + hex_encode(shown.session_key) +
                   hex_encode(shown.evidence.spd));
  }
  [[nodiscard]] keyms::EndpointStatement statement() const {
    const auto time = static_cast<std::uint64_t>(to_time_t(clock.wall()));
    return {"hamburg-1", hash_of(certificate), time - 10, time + 3600};
  }
  Shown show(std::string_view nonce = "a nonce", std::uint64_t ima_offset = 0) {
    Shown shown;
    shown.evidence.ne_id = "hamburg-1";
    shown.evidence.spd = hash_of("the kernel's policies");
    shown.evidence.session_key.suite = static_cast<std::uint8_t>(policy.signing.suite);
    shown.evidence.session_key.lifetime_ms = 600000;
    shown.evidence.wall_clock = static_cast<std::uint64_t>(to_time_t(clock.wall()));
    shown.evidence.session_key.not_after =
        static_cast<std::uint64_t>(to_time_t(clock.wall())) + 600;
    shown.evidence.logs.ima_offset = ima_offset;
    const ByteView area = tpm::without_size(key_blobs.public_part);
    shown.key_area.assign(area.begin(), area.end());
    shown.session_key = session_public_key();
    shown.endpoint = get(keyms::sign_endpoint(device, *key, statement()));
    shown.collected = get(keyms::collect(device, sources(), qualifying(shown, nonce)));
    shown.ima.assign(ima.binary.begin() + static_cast<std::ptrdiff_t>(ima_offset),
                     ima.binary.end());
    shown.endorsement_key = endorsement_area.encode();
    shown.certificates = certificates;
    return shown;
  }
  keyms::Sources sources() {
    keyms::Sources from{gateway(), *key, *static_log, *event_log};
    from.event_index_auth = index_auth;
    from.boot_log = boot_log_path();
    if (signing_key) {
      from.session_key = &*signing_key;
      from.session_key_area = signing_blobs.public_part;
    }
    return from;
  }
  // From here on the session key lives in the TPM, bound to these values.
  void sign_in_tpm(const tpm::PcrSelection& selection) {
    policy.signing.mode = keyms::SigningMode::tpm;
    const auto values = get(read_pcrs(device, selection));
    const tpm::SigningKey::Policy bound{
        selection, get(values.composite(selection, tpm::HashAlgorithm::sha256))};
    signing_key.reset();
    key->object().unload();
    signing_blobs = get(tpm::SigningKey::create(device, session, bound, owner()));
    signing_key.emplace(signing_blobs, bound, owner());
  }
  [[nodiscard]] std::string boot_log_path() const { return directory.file("boot_log"); }
  Swtpm tpm = get(Swtpm::start());
  ManualClock clock;
  TctiTap tap;
  tpm::Device device;
  tpm::Auth index_auth = auth_of("of the index");
  tpm::Auth owner_auth = auth_of("of the owner");
  bool owned;  // whether the owner hierarchy has an auth value
  tpm::SaltedSession session;
  tpm::KeyBlobs key_blobs;
  std::optional<tpm::AttestationKey> key;
  tpm::PublicArea endorsement_area;
  tpm::VolatileObject endorsement = tpm::endorsement_key(tpm::KeyType::p256);
  tpm::Bytes certificates;
  keyms::CorePolicy policy;
  TemporaryDirectory directory;
  std::optional<TemporaryDirectory> static_directory;
  std::optional<TemporaryDirectory> event_directory;
  std::optional<tpm::OwnPcr> static_register;
  std::unique_ptr<tpm::OwnRegister> event_register;
  std::optional<tpm::OwnLog> static_log;
  std::optional<tpm::OwnLog> event_log;
  ImaListMaker ima;
  std::uint64_t measured_files = 0;
  tpm::KeyBlobs signing_blobs;
  std::optional<tpm::SigningKey> signing_key;

 private:
  // An NV register is only as safe as the owner's auth value.
  static std::string prepared(const Swtpm& tpm, const tpm::CelRegister& events) {
    if (events.kind == tpm::CelRegister::Kind::nv_index) {
      get(tpm.tool({"tpm2_changeauth", "-c", "owner", "of the owner"}));
    }
    return tpm.tcti();
  }
  keyms::CorePolicy good_policy(tpm::CelRegister events) {
    keyms::CorePolicy made;
    made.name = "berlin-hamburg";
    made.gateways[0].ne_id = "berlin-1";
    keyms::Gateway& mine = made.gateways[1];
    mine.ne_id = "hamburg-1";
    mine.attestation_key =
        name_of(get(tpm::PublicArea::parse(tpm::without_size(key_blobs.public_part))));
    mine.event_register = events;
    return made;
  }
  void certify_endorsement_key() {
    endorsement_area = get(tpm::PublicArea::parse(get(read_public_area(device, endorsement))));
    endorsement.unload();  // a TPM has three slots
    const auto public_key = get(tpm::PublicKey::from(endorsement_area));
    Wanted wanted = Vendor::get().ec_ek();
    wanted.key = public_key.openssl();
    certificates = make_certificate(wanted);
    const Bytes intermediate = make_certificate(Vendor::get().intermediate());
    certificates.insert(certificates.end(), intermediate.begin(), intermediate.end());
  }
  void extend_boot_log() {
    const auto log = small_boot_log();
    std::ofstream(boot_log_path(), std::ios::binary)
        .write(reinterpret_cast<const char*>(log.bytes.data()),
               static_cast<std::streamsize>(log.bytes.size()));
    auto reader = get(tpm::BootLog::open(log.bytes));
    tpm::BootEvent event;
    while (get(reader.next(event))) {
      if (!event.extends()) continue;
      get(extend_pcr(device, event.pcr,
                     {get(tpm::Digest::from(tpm::HashAlgorithm::sha256, event.digests[1]))}));
    }
  }
  Bytes aggregate() {
    const tpm::PcrSelection first{{{tpm::HashAlgorithm::sha256, (1U << 10U) - 1}}};
    const auto digest =
        get(get(read_pcrs(device, first)).composite(first, tpm::HashAlgorithm::sha256));
    return {digest.bytes().begin(), digest.bytes().end()};
  }
  tpm::Bytes session_public_key() {
    if (signing_key) {
      const auto point = get(tpm::SigningKey::public_key(signing_blobs));
      return {point.begin(), point.end()};
    }
    // Any point of the curve.
    const auto& [x, y] = std::tie(endorsement_area.unique, endorsement_area.unique_y);
    tpm::Bytes point{4};
    point.insert(point.end(), x.begin(), x.end());
    point.insert(point.end(), y.begin(), y.end());
    return point;
  }
};

}  // namespace cs::test
