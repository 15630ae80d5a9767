// SPDX-License-Identifier: GPL-3.0-or-later
// What its TPM says: of PCRs, of the event register where that is an NV index, and when.
#include <algorithm>

#include "base/hex.h"
#include "keyms/evidence/checks.h"
#include "keyms/evidence/registers.h"
#include "keyms/session/key_schedule.h"
#include "tpm/evidence/certify.h"
#include "tpm/evidence/quote.h"

namespace cs::keyms::checks {

namespace {

constexpr bool is_resettable(std::uint32_t pcr) {
  return pcr == 16 || pcr == 23;
}

void judge_registers(Case& c) {
  using Kind = tpm::CelRegister::Kind;
  const tpm::CelRegister& events = c.gateway.event_register;
  const bool events_are_pcr = events.kind == Kind::pcr;
  const bool resettable =
      is_resettable(c.gateway.static_pcr) || (events_are_pcr && is_resettable(events.number));
  const bool usable = (resettable || (c.gateway.static_pcr >= 8 && c.gateway.static_pcr <= 15)) &&
                      c.gateway.static_pcr != ima_pcr &&
                      !(events_are_pcr && (events.number == ima_pcr || events.number < 8 ||
                                           events.number == c.gateway.static_pcr));
  if (resettable && !c.gateway.resettable) {
    c.found.fails(Criterion::registers,
                  "expected registers that only a reboot resets, found PCR 16 "
                  "or 23, which root resets");
  } else if (!usable) {
    c.found.fails(Criterion::registers, "expected two registers of its own, found " +
                                            pcr_text(c.gateway.static_pcr) + " and " +
                                            std::to_string(events.number));
  } else {
    c.found.holds(Criterion::registers, resettable
                                            ? "root can reset one of them: the policy says so"
                                            : "only a reboot resets them");
  }
}

// One criterion out of several of a quote's checks.
void take(Case& c, const tpm::Findings& findings, Criterion criterion,
          std::initializer_list<std::string_view> codes, const std::string& so) {
  const std::string wrong = failures(findings, codes);
  wrong.empty() ? c.found.holds(criterion, so) : c.found.fails(criterion, wrong);
}

void judge_time(Case& c) {
  const tpm::ClockInfo& clock = c.quote->clock;
  const std::string count = std::to_string(clock.reset_count);
  if (c.memory == nullptr) {
    c.found.holds(Criterion::reset_count, "start " + count + ", nothing of it was seen before");
    c.found.holds(Criterion::restart_count, "nothing of it was seen before");
    c.found.holds(Criterion::tpm_firmware, "nothing of it was seen before");
    return;
  }
  const tpm::ClockInfo& last = c.memory->clock;
  c.same_boot = clock.reset_count == last.reset_count;
  c.found.compare(Criterion::reset_count, clock.reset_count >= last.reset_count,
                  c.same_boot ? "the boot seen last" : "a boot of its own: all is judged anew",
                  "resetCount " + std::to_string(last.reset_count) + " or more", count);
  c.found.compare(Criterion::restart_count,
                  !c.same_boot || clock.restart_count == last.restart_count, "it was not suspended",
                  "restartCount " + std::to_string(last.restart_count),
                  std::to_string(clock.restart_count));
  c.found.compare(Criterion::tpm_firmware, c.quote->firmware == c.memory->firmware,
                  "it is the same", std::to_string(c.memory->firmware),
                  std::to_string(c.quote->firmware));
}

// The quote signs it along with the rest.
void judge_skew(Case& c) {
  const std::uint64_t ours = now(c.expected);
  const std::uint64_t its = c.shown.wall_clock;
  const std::uint64_t apart = its > ours ? its - ours : ours - its;
  c.found.compare(Criterion::clock_skew, apart <= allowed_skew, std::to_string(apart) + " s apart",
                  time_text(ours) + ", ours, or " + std::to_string(allowed_skew) + " s from it",
                  time_text(its));
}

void nothing_quoted(Case& c, const std::string& why) {
  c.found.fails(Criterion::quote_form, why);
  for (const Criterion criterion :
       {Criterion::quote_signature, Criterion::quote_freshness, Criterion::quote_selection,
        Criterion::quote_values, Criterion::quote_clock, Criterion::reset_count}) {
    c.found.not_checked(criterion, "there is no quote that can be read");
  }
}

}  // namespace

void quote(Case& c) {
  judge_registers(c);
  judge_skew(c);
  const auto signature = tpm::Signature::parse(c.shown.quote.signature);
  if (!c.key) return nothing_quoted(c, "no key to verify it with");
  if (!signature.ok()) return nothing_quoted(c, signature.error().message());
  const Hash& wanted = c.expected.qualifying;
  tpm::QuoteExpectations expectations;
  expectations.attest.qualifying_data = tpm::Bytes(wanted.begin(), wanted.end());
  expectations.selection = quoted_registers(c.gateway);
  expectations.values = &c.shown.values;
  if (c.memory != nullptr) expectations.last_seen = c.memory->clock;
  auto report = verify_quote({c.shown.quote.bytes, *signature, *c.key}, expectations);
  if (!report.ok()) return nothing_quoted(c, report.error().message());
  const tpm::Findings& findings = report->findings;
  c.quote = std::move(report->attest);
  take(c, findings, Criterion::quote_form, {"magic", "type"}, "it is a quote");
  take(c, findings, Criterion::quote_signature, {"scheme", "signature"}, "its key has signed it");
  take(c, findings, Criterion::quote_freshness, {"qualifying_data"}, "it is of this session");
  take(c, findings, Criterion::quote_selection, {"selection"},
       "of " + expectations.selection->text());
  take(c, findings, Criterion::quote_values, {"pcr_digest"}, "they are those quoted");
  judge_time(c);
  // A loss of power sets it back, and not every TPM owns to that: of another boot nothing is held
  // against it, as resetCount only grows.
  const auto is_clock = [](const tpm::Check& check) {
    return check.code == "clock" && check.verdict == tpm::Verdict::fails;
  };
  if (const auto clock = std::ranges::find_if(findings.checks(), is_clock);
      clock != findings.checks().end() && c.same_boot) {
    c.found.fails(Criterion::quote_clock, clock->sentence);
  } else {
    c.found.holds(Criterion::quote_clock, "it has not gone back in this boot");
  }
  c.quote_is_good = std::ranges::all_of(
      std::array{Criterion::ak_name, Criterion::ak_attributes, Criterion::quote_form,
                 Criterion::quote_signature, Criterion::quote_freshness, Criterion::quote_selection,
                 Criterion::quote_values},
      [&c](Criterion criterion) { return c.found.good(criterion); });
  if (const auto* const quoted = std::get_if<tpm::Attest::Quote>(&c.quote->attested);
      c.quote_is_good && quoted != nullptr && quoted->digest.size() == sizeof(Hash)) {
    Hash digest{};
    std::ranges::copy(quoted->digest, digest.begin());
    c.found.pcr_digest = digest;
  }
}

tpm::AttestExpectations beside_quote(const Expectations& expected) {
  const Hash qualifying = certify_qualifying_data(expected.qualifying);
  tpm::AttestExpectations expectations;
  expectations.qualifying_data = tpm::Bytes(qualifying.begin(), qualifying.end());
  return expectations;
}

std::string attested_beside_quote(const Case& c, const SignedBytes& certified,
                                  const tpm::Findings& findings) {
  std::string wrong = failures(findings, {"magic", "type", "key", "scheme", "signature",
                                          "qualifying_data", "name", "offset", "contents"});
  if (!wrong.empty()) return wrong;
  const auto attest = tpm::Attest::parse(certified.bytes);
  if (!attest.ok() || !c.quote) return "no quote to compare it with";
  const tpm::ClockInfo& clock = attest->clock;
  const tpm::ClockInfo& quoted = c.quote->clock;
  if (clock.reset_count == quoted.reset_count && clock.restart_count == quoted.restart_count) {
    return {};
  }
  return "expected it in the quote's boot (resetCount " + std::to_string(quoted.reset_count) +
         "), found it in another (" + std::to_string(clock.reset_count) + ")";
}

namespace {

void judge_area(Case& c, const tpm::NvPublic& area) {
  constexpr std::uint32_t wanted = tpm::nv_attribute::own_register | tpm::nv_attribute::written;
  const auto hex = [](std::uint32_t number) {
    ByteBuilder out(4);
    return "0x" + hex_encode(tpm::finish(out.u32be(number)));
  };
  const bool good = area.index == c.gateway.event_register.number &&
                    area.name_algorithm == tpm::HashAlgorithm::sha256 &&
                    area.attributes == wanted && area.policy.empty() && area.size == sizeof(Hash);
  c.found.compare(Criterion::event_index, good, "it is a register that only grows",
                  "index " + hex(c.gateway.event_register.number) + " with attributes " +
                      hex(wanted) + ", no policy, 32 bytes",
                  "index " + hex(area.index) + " with attributes " + hex(area.attributes) + ", " +
                      (area.policy.empty() ? "no" : "a") + " policy, " + std::to_string(area.size) +
                      " bytes");
}

}  // namespace

void event_index(Case& c) {
  if (c.gateway.event_register.kind == tpm::CelRegister::Kind::pcr) {
    c.found.holds(Criterion::event_index, "the event register is a PCR");
    c.found.holds(Criterion::event_index_certified, "the event register is a PCR");
    return;
  }
  const auto fail = [&c](Criterion criterion, const std::string& why) {
    c.found.fails(criterion, why);
  };
  if (!c.shown.event_index) {
    fail(Criterion::event_index, "expected an NV index, found none");
    return fail(Criterion::event_index_certified, "expected an NV index, found none");
  }
  const EventIndex& index = *c.shown.event_index;
  const auto area = tpm::NvPublic::parse(index.area);
  if (!area.ok()) {
    fail(Criterion::event_index, area.error().message());
    return c.found.not_checked(Criterion::event_index_certified, "of what");
  }
  judge_area(c, *area);
  const auto signature = tpm::Signature::parse(index.certified.signature);
  if (!signature.ok()) return fail(Criterion::event_index_certified, signature.error().message());
  if (!c.key) return fail(Criterion::event_index_certified, "no key to verify it with");
  const auto findings = verify_nv_certify(
      {index.certified.bytes, *signature, *c.key},
      {*area, 0, {index.contents.begin(), index.contents.end()}}, beside_quote(c.expected));
  const std::string wrong = findings.ok() ? attested_beside_quote(c, index.certified, *findings)
                                          : findings.error().message();
  wrong.empty() ? c.found.holds(Criterion::event_index_certified, "its key has certified it")
                : fail(Criterion::event_index_certified, wrong);
}

}  // namespace cs::keyms::checks
