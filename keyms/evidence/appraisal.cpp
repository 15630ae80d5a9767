// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/evidence/appraisal.h"

#include <algorithm>
#include <string_view>

#include "base/hex.h"

namespace cs::keyms {

namespace {

using tpm::Verdict;

constexpr std::size_t most_where = 256;
constexpr std::size_t most_sentence = 1024;

// Much of it comes from the peer, and goes to terminals, logs and JSON.
std::string printable(std::string_view text, std::size_t most) {
  std::string line;
  for (const char c : text) {
    if (line.size() >= most) return line + "...";
    const auto code = static_cast<std::uint8_t>(c);
    if (code >= 0x20 && code < 0x7f) {
      line += c;
    } else {
      line += "\\x" + hex_encode(ByteView(&code, 1));
    }
  }
  return line;
}

std::vector<Criterion> those(Severity severity, auto chosen) {
  std::vector<Criterion> found;
  for (const CriterionText& text : criteria()) {
    if (text.severity == severity && chosen(text.criterion)) found.push_back(text.criterion);
  }
  return found;
}

}  // namespace

void Appraisal::set(Criterion criterion, Verdict verdict, const std::string& sentence,
                    const std::string& where) {
  Finding& finding = findings_.at(static_cast<std::size_t>(criterion));
  if (finding.verdict == Verdict::fails) return;
  finding = {verdict, printable(where, most_where), printable(sentence, most_sentence)};
}

void Appraisal::holds(Criterion criterion, const std::string& sentence, const std::string& where) {
  set(criterion, Verdict::holds, sentence, where);
}

void Appraisal::fails(Criterion criterion, const std::string& sentence, const std::string& where) {
  set(criterion, Verdict::fails, sentence, where);
}

void Appraisal::not_checked(Criterion criterion, const std::string& sentence) {
  set(criterion, Verdict::not_checked, sentence, {});
}

void Appraisal::compare(Criterion criterion, bool equal, const std::string& so,
                        const std::string& expected, const std::string& found,
                        const std::string& where) {
  equal ? holds(criterion, so, where)
        : fails(criterion, "expected " + expected + ", found " + found, where);
}

bool Appraisal::granted() const noexcept {
  return std::ranges::all_of(criteria(), [this](const CriterionText& text) {
    return text.severity != Severity::refuse || good(text.criterion);
  });
}

bool Appraisal::only_proof_missing() const noexcept {
  return of(Criterion::tpm_activation).verdict == Verdict::not_checked && endorsed &&
         std::ranges::all_of(criteria(), [this](const CriterionText& text) {
           return text.severity != Severity::refuse ||
                  text.criterion == Criterion::tpm_activation || good(text.criterion);
         });
}

void Appraisal::activated() {
  if (!endorsed) return;  // a secret for a key that nobody vouches for shows nothing
  for (const Criterion criterion : {Criterion::tpm_activation, Criterion::tpm_unproven}) {
    findings_.at(static_cast<std::size_t>(criterion)) = {
        Verdict::holds, {}, "it has opened a secret made for both keys"};
  }
  if (memory) memory->proven_under = endorsed;
}

std::vector<Criterion> Appraisal::refused() const {
  const auto with = [this](Verdict verdict) {
    return those(Severity::refuse,
                 [this, verdict](Criterion criterion) { return of(criterion).verdict == verdict; });
  };
  std::vector<Criterion> found = with(Verdict::fails);
  const std::vector<Criterion> open = with(Verdict::not_checked);
  found.insert(found.end(), open.begin(), open.end());
  return found;
}

std::vector<Criterion> Appraisal::failed(Severity severity) const {
  return those(severity,
               [this](Criterion criterion) { return of(criterion).verdict == Verdict::fails; });
}

}  // namespace cs::keyms
