// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <ostream>

#include "base/base64.h"
#include "base/fingerprint.h"
#include "base/printable.h"
#include "keyms/policy/toml.h"
#include "tools/keymsd/daemon.h"
#include "tools/keymsd/keymsd.h"
#include "tools/keymsd/plan.h"
#include "tools/policy/load.h"
#include "tpm/small_file.h"

namespace cs::keymsd {
namespace {

constexpr int most_attempts = 3;

bool has(const keyms::AgreementVerdict& verdict, keyms::SignatureState state) {
  return std::ranges::any_of(verdict.signatures,
                             [&](const auto& one) { return one.state == state; });
}

Error wrong_signature(const keyms::AgreementVerdict& verdict) {
  std::string why;
  for (const auto& one : verdict.signatures) {
    if (one.state == keyms::SignatureState::wrong)
      why += (why.empty() ? "" : ", and ") + one.sentence;
  }
  return {ErrorKind::unverified, why};
}

// Has keymsd sign it, and looks whether it did.
Result<keyms::AgreementVerdict> add_signature(keyms::AgreementFile& file, Daemon& daemon) {
  CS_TRY(const Json answer, daemon.ask("sign", {{"policy", base64_encode(file.policy)}}));
  const std::string end = text(answer, "end");
  if (end != "left" && end != "right")
    return Error(ErrorKind::invalid, "keymsd does not say for which gateway it has signed");
  keyms::PolicySignature ours;
  CS_TRY(ours.key, base64_decode(text(answer, "key"), keyms::max_key_area).context("our key"));
  CS_TRY(ours.signature, base64_decode(text(answer, "signature"), keyms::max_policy_signature)
                             .context("our signature"));
  file.signatures.at(end == "left" ? 0 : 1) = std::move(ours);
  CS_TRY(keyms::AgreementVerdict verdict, keyms::verify(file));
  if (has(verdict, keyms::SignatureState::wrong)) return wrong_signature(verdict);
  return verdict;
}

Result<void> write(const keyms::AgreementFile& file, const std::string& out) {
  CS_TRY(const auto bytes, keyms::encode(file));
  return policy::save(out, bytes);
}

void tell_signed(const keyms::AgreementVerdict& verdict, const std::string& file,
                 std::ostream& out) {
  out << printable(verdict.policy.name) << ", version " << verdict.policy.version << ": " << file
      << "\n";
  for (const auto& one : verdict.signatures) out << printable(one.sentence) << "\n";
  out << "read aloud: " << fingerprint_text(verdict.value) << "\n";
  if (verdict.is_agreed()) {
    out << "Next, at both gateways, with this file: countersign policy plan, then apply\n";
  } else {
    out << "Next: give the file to the other operator, who types these digits as you read them "
           "aloud:\n  countersign policy agree FILE\n";
  }
}

Result<void> propose_to(const AgreementOptions& options, Daemon& daemon, std::ostream& out) {
  CS_TRY(const policy::Loaded loaded, policy::load(options.file));
  if (loaded.signatures && has(*loaded.signatures, keyms::SignatureState::good)) {
    return Error(ErrorKind::invalid, options.file + " is signed already")
        .with_hint("countersign policy agree " + options.file);
  }
  keyms::AgreementFile file{loaded.encoded, {}};
  CS_TRY(const keyms::AgreementVerdict verdict, add_signature(file, daemon));
  CS_CHECK(write(file, options.out));
  tell_signed(verdict, options.out, out);
  return {};
}

struct Proposal {
  std::vector<std::uint8_t> bytes;
  keyms::AgreementFile file;
  keyms::AgreementVerdict verdict;
};

Result<Proposal> read_proposal(const std::string& name) {
  Proposal out;
  CS_TRY(out.bytes, tpm::read_small_file(name, keyms::max_agreement_file));
  CS_TRY(out.file, keyms::decode_agreement(out.bytes).context(name));
  CS_TRY(out.verdict, keyms::verify(out.file).context(name));
  if (has(out.verdict, keyms::SignatureState::wrong))
    return wrong_signature(out.verdict).context(name);
  if (!has(out.verdict, keyms::SignatureState::good)) {
    return Error(ErrorKind::invalid, name + ": nobody has signed it")
        .with_hint("countersign policy propose " + name + " --out FILE");
  }
  return out;
}

// Its digits are not on the screen: they are to come from the other operator.
void show(const Proposal& proposal, Daemon& daemon, std::ostream& out) {
  out << keyms::toml_text(proposal.verdict.policy) << "\n";
  for (const auto& one : proposal.verdict.signatures) out << printable(one.sentence) << "\n";
  const auto planned = daemon.ask("plan", {{"agreement", base64_encode(proposal.bytes)}});
  if (planned.ok()) {
    write_changes(*planned, out);
  } else {
    out << "What it changes here keymsd does not tell: " << planned.error().message() << "\n";
  }
  out << std::flush;
}

// None: these digits are the proposal's. Else how it ends.
std::optional<Outcome> compare(const std::string& digits, const Proposal& proposal,
                               const Console& console) {
  const auto typed = parse_fingerprint(digits);
  if (typed.ok() && is_fingerprint_of(*typed, proposal.verdict.value)) return std::nullopt;
  const Error other = Error(ErrorKind::unverified, "these digits are of another policy")
                          .with_hint("do not sign it; have the file sent again by another way");
  return inspect::fail(typed.ok() ? other : typed.error(),
                       typed.ok() ? Outcome::refused : Outcome::usage, false, console.out,
                       console.err);
}

std::optional<Outcome> ask_for_digits(const Proposal& proposal, const Console& console) {
  std::optional<Outcome> ended;
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    const auto digits = inspect::ask_line(
        console, "Type the digits that the other operator reads aloud to you", "--fingerprint");
    if (!digits) return Outcome::usage;
    ended = compare(*digits, proposal, console);
    if (ended != Outcome::usage) break;
  }
  return ended;
}

}  // namespace

Outcome propose(const AgreementOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  const auto done = propose_to(options, daemon, console.out);
  return done.ok() ? Outcome::good : fail(done.error(), daemon, console);
}

Outcome agree(const AgreementOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  auto proposal = read_proposal(options.file);
  if (!proposal.ok()) return fail(proposal.error(), daemon, console);
  show(*proposal, daemon, console.out);
  const auto ended = options.fingerprint.empty() ? ask_for_digits(*proposal, console)
                                                 : compare(options.fingerprint, *proposal, console);
  if (ended) return *ended;
  const auto verdict = add_signature(proposal->file, daemon);
  if (!verdict.ok()) return fail(verdict.error(), daemon, console);
  const std::string out = options.out.empty() ? options.file : options.out;
  const auto written = write(proposal->file, out);
  if (!written.ok()) return fail(written.error(), daemon, console);
  tell_signed(*verdict, out, console.out);
  return Outcome::good;
}

}  // namespace cs::keymsd
