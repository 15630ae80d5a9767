// SPDX-License-Identifier: GPL-3.0-or-later
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <ostream>
#include <system_error>

#include "base/fingerprint.h"
#include "tools/keymsd/keymsd.h"
#include "tools/keymsd/own_machine.h"

namespace cs::keymsd {
namespace {

// Before systemd has, and where nobody but root may.
Result<void> make_directory(const std::string& path, const std::optional<StateOwner>& owner) {
  std::error_code code;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), code);
  if (code) return from_errno(code.value(), "making the directory above " + path);
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST)
    return from_errno(errno, "making the directory " + path);
  return owner ? owner->take(path) : Result<void>();
}

struct SetUp {
  std::vector<std::string> made;
  keyms::Machine::Facts facts;
};
Result<SetUp> set_up(OwnMachine& own, const std::string& ne_id) {
  SetUp out;
  CS_TRY(out.made, keyms::Machine::set_up(own.device, own.options, ne_id));
  CS_TRY(const auto machine, keyms::Machine::open(own.device, own.options));
  CS_TRY(out.facts, machine->facts(own.device));
  return out;
}

void tell(const SetUp& done, std::ostream& out) {
  const auto& [made, facts] = done;
  for (const std::string& one : made) out << "made: " << one << "\n";
  if (made.empty()) out << "all of it was there\n";
  const std::string key = facts.attestation_key.hex();
  out << "\nNeID             " << facts.ne_id << "\nattestation key  " << key
      << "\nread aloud       " << fingerprint_text(ByteView(facts.attestation_key.bytes).subspan(2))
      << "\n\nNext: give both to the other operator, and read the digits aloud. Then, at one of "
         "the "
         "two:\n  countersign policy new --here "
      << facts.ne_id << " --here-key " << key
      << " --there NEID --there-key HEX > policy.toml\nand here: systemctl start keymsd\n";
}

Result<void> run(const InitOptions& options, const Clock& clock, std::ostream& out) {
  CS_TRY(const keyms::DaemonConfig config, keyms::read_daemon_config(options.config));
  CS_TRY(const auto owner, StateOwner::find(options.user));
  CS_TRY(OwnMachine own, OwnMachine::open(config, clock));
  CS_CHECK(make_directory(config.state_directory, owner));
  CS_TRY(const SetUp done, act_as(owner, [&] { return set_up(own, options.ne_id); }));
  tell(done, out);
  return {};
}

}  // namespace

Outcome init(const InitOptions& options, const Clock& clock, const Console& console) {
  const auto done = run(options, clock, console.out);
  if (done.ok()) return Outcome::good;
  return inspect::fail(done.error(), outcome_of(done.error()), false, console.out, console.err);
}

}  // namespace cs::keymsd
