// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ostream>

#include "base/base64.h"
#include "base/fingerprint.h"
#include "base/printable.h"
#include "base/rfc3339.h"
#include "keyms/measure/approval_request.h"
#include "keyms/policy/agreement_file.h"
#include "keyms/store/store.h"
#include "tools/keymsd/keymsd.h"
#include "tools/keymsd/own_machine.h"
#include "tools/policy/load.h"
#include "tpm/small_file.h"

namespace cs::keymsd {
namespace {

// What an error of Machine::open() means to who has to mend it.
struct Trouble {
  ErrorKind kind;
  std::string_view what;
  std::string_view lost;
  std::string_view to_do;
};
constexpr std::array troubles{
    Trouble{ErrorKind::not_found,
            "there is a store, but not what belongs to it: the TPM was cleared or replaced, or "
            "making the store was cut off",
            "with that TPM the attestation key, and with it what was agreed with each peer",
            "put the former TPM back; else: countersign recover --begin-anew"},
    Trouble{ErrorKind::denied,
            "the store is whole, but the machine is not in the state it was sealed to: by an "
            "update of firmware or boot loader, or by drift, which a reboot ends",
            "nothing, as long as the former state can come back",
            "reboot; or boot what was there before the update; or, with an approver: countersign "
            "recover --request FILE; else: countersign recover --begin-anew"},
    Trouble{ErrorKind::unverified,
            "the store is not what this TPM last wrote: it is of another TPM, was put back from a "
            "copy, or changed",
            "what was agreed since the copy; with another TPM the attestation key too",
            "put the newest state directory back; else: countersign recover --begin-anew"},
    Trouble{ErrorKind::invalid, "the store cannot be read: it is damaged",
            "the attestation key, and with it what was agreed with each peer",
            "put the newest state directory back; else: countersign recover --begin-anew"},
};

Outcome failed(const Error& error, const Console& console) {
  return inspect::fail(error, outcome_of(error), false, console.out, console.err);
}

void write_fault(const Json& fault, const char* words, std::ostream& out) {
  out << text(fault, "code") << ": " << text(fault, words) << "\n";
  if (const std::string hint = text(fault, "hint"); !hint.empty())
    out << "  to do: " << hint << "\n";
}

// keymsd knows best, where it runs.
Outcome tell_by_daemon(const Json& status, const Console& console) {
  const std::string state = text(status, "state");
  const Json& faults = list(status, "faults");
  const Json& drift = list(part(status, "kernel"), "drift");
  console.out << "keymsd runs, and is " << state << "\n";
  for (const Json& fault : faults) write_fault(fault, "text", console.out);
  for (const Json& found : drift) write_fault(found, "sentence", console.out);
  if (state == "locked") {
    console.out << "The store is closed in this state of the machine; nothing in it is lost. "
                   "Reboot, or with an approver: countersign recover --request FILE\n";
  }
  const bool good = state != "locked" && state != "at_fault" && faults.empty() && drift.empty();
  if (good) console.out << "nothing is to be recovered\n";
  return good ? Outcome::good : Outcome::refused;
}

Outcome tell_trouble(const Error& error, const Console& console) {
  const auto* const known = std::ranges::find(troubles, error.kind(), &Trouble::kind);
  if (known == troubles.end() || error.os_error() != 0) return failed(error, console);
  console.out << known->what << "\n  (" << printable(error.message()) << ")\nlost: " << known->lost
              << "\nto do: " << known->to_do << "\n";
  return Outcome::refused;
}

struct Found {
  std::string ne_id;
  bool edited = false;                // the configuration is not the one it was sealed with
  std::optional<Error> closed;        // why it does not open
  std::optional<std::string> unlike;  // what the registers have instead of what is in force
};
// Fails where it cannot even be read.
Result<Found> look(OwnMachine& own) {
  Found out;
  const auto& [config, configuration, clock] = own.options;
  {
    CS_TRY(const auto store, keyms::Store::open({config.store(), {}, clock}));
    out.ne_id = store.clear().ne_id;
    out.edited = !std::ranges::equal(store.clear().configuration.bytes(), configuration);
  }
  const auto machine = keyms::Machine::open(own.device, own.options);
  if (!machine.ok()) {
    out.closed = machine.error();
    return out;
  }
  CS_TRY(const keyms::Machine::Facts facts, (*machine)->facts(own.device));
  out.unlike = facts.unlike;
  return out;
}

Outcome tell(const Found& found, const Console& console) {
  if (found.closed && found.closed->kind() == ErrorKind::denied && found.edited) {
    console.out
        << "the store of " << found.ne_id
        << " is whole, but keymsd's configuration was edited before this boot\n  ("
        << printable(found.closed->message())
        << ")\nlost: nothing\nto do: put the former keymsd.toml back and reboot. To edit it "
           "so that it lasts: edit, systemctl restart keymsd, and only then reboot\n";
    return Outcome::refused;
  }
  if (found.closed) return tell_trouble(*found.closed, console);
  if (found.unlike) {
    console.out << "the store opens, but this boot is not what is in force: "
                << printable(*found.unlike) << "\nlost: nothing\nto do: reboot\n";
    return Outcome::refused;
  }
  console.out << "the store opens and the registers are as they should be: nothing is to be "
                 "recovered\nto do: systemctl start keymsd\n";
  return Outcome::good;
}

Outcome tell_without_daemon(const keyms::DaemonConfig& config, const Clock& clock,
                            const Console& console) {
  auto own = OwnMachine::open(config, clock);
  if (!own.ok()) return failed(own.error(), console);
  const auto found = act_as(StateOwner::of(config.state_directory), [&] { return look(*own); });
  if (found.ok()) return tell(*found, console);
  if (found.error().os_error() == ENOENT) {
    console.out
        << "there is no store: it was never made, or it is lost\nlost, if there was one: the "
           "attestation key, and with it what was agreed with each peer\nto do: countersign "
           "init NEID; then agree each policy, anew one version higher\n";
    return Outcome::refused;
  }
  return found.error().kind() == ErrorKind::denied ? failed(found.error(), console)
                                                   : tell_trouble(found.error(), console);
}

// What has to be typed: whose state it is, or where that lies if it cannot be read.
Result<std::string> name_of_state(const keyms::DaemonConfig& config, const Clock& clock) {
  const auto store = keyms::Store::open({config.store(), {}, &clock});
  if (store.ok()) return store->clear().ne_id;
  if (store.error().kind() == ErrorKind::busy) return store.error();
  return config.state_directory;
}

Result<std::string> set_aside(const std::string& directory, const Clock& clock) {
  std::string time = format_rfc3339(clock.wall());
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  std::string from = directory;
  while (from.size() > 1 && from.ends_with('/')) from.pop_back();
  std::string to = from + ".aside-" + time;
  if (std::rename(from.c_str(), to.c_str()) != 0)
    return from_errno(errno, "renaming " + from + " to " + to);
  return to;
}

Outcome begin_anew(const RecoverOptions& options, const keyms::DaemonConfig& config,
                   const Clock& clock, const Console& console) {
  if (const auto stopped = check_stopped(config); !stopped.ok())
    return failed(stopped.error(), console);
  const auto name =
      act_as(StateOwner::of(config.state_directory), [&] { return name_of_state(config, clock); });
  if (!name.ok()) return failed(name.error(), console);
  console.out << "This sets the state of " << *name
              << " aside. Lost with it: the attestation key, and what was agreed with each peer.\n"
              << std::flush;
  if (!options.yes) {
    const auto ended =
        inspect::unless_typed(console, "Type " + *name + " to begin anew", *name, "--yes");
    if (ended) return *ended;
  }
  const auto aside = set_aside(config.state_directory, clock);
  if (!aside.ok()) return failed(aside.error(), console);
  console.out << "the former state is in " << *aside
              << "\nNext: countersign init NEID; then agree each policy anew, one version higher, "
                 "with the new key in it\n";
  return Outcome::good;
}

Result<void> write_request(const RecoverOptions& options, Daemon& daemon, std::ostream& out) {
  Json arguments = Json::object();
  if (!options.agreement.empty()) {
    CS_TRY(const auto agreement,
           tpm::read_small_file(options.agreement, keyms::max_agreement_file));
    arguments["agreement"] = base64_encode(agreement);
  }
  CS_TRY(const Json answer, daemon.ask("request", arguments));
  CS_TRY(
      const auto bytes,
      base64_decode(text(answer, "request"), keyms::ApprovalRequest::most).context("the request"));
  CS_CHECK(policy::save(options.request, bytes));
  out << options.request << " is for the approver, who reads and signs it (countersign approve); "
      << "with what comes back: countersign recover --approval FILE\nread aloud to who signs: "
      << fingerprint_text(tpm::Hasher(tpm::HashAlgorithm::sha256).hash({bytes}).bytes()) << "\n";
  return {};
}

Result<void> give_approval(const RecoverOptions& options, Daemon& daemon, std::ostream& out) {
  CS_TRY(const auto approval, tpm::read_small_file(options.approval, tpm::Approval::most));
  CS_TRY(const Json answer, daemon.ask("approve", {{"approval", base64_encode(approval)}}));
  out << text(answer, "text") << "\n";
  return {};
}

}  // namespace

Outcome recover(const RecoverOptions& options, const Clock& clock, const Console& console) {
  auto config = keyms::read_daemon_config(options.config);
  if (!config.ok()) return failed(config.error(), console);
  if (!options.socket.empty()) config->control_socket = options.socket;
  if (options.begin_anew) return begin_anew(options, *config, clock, console);
  Daemon daemon(config->control_socket);
  if (options.request.empty() && options.approval.empty()) {
    const auto status = daemon.ask("status");
    return status.ok() ? tell_by_daemon(*status, console)
                       : tell_without_daemon(*config, clock, console);
  }
  const auto done = options.approval.empty() ? write_request(options, daemon, console.out)
                                             : give_approval(options, daemon, console.out);
  return done.ok() ? Outcome::good : fail(done.error(), daemon, console);
}

}  // namespace cs::keymsd
