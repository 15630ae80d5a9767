// SPDX-License-Identifier: GPL-3.0-or-later
#include <iomanip>
#include <ostream>

#include "base/base64.h"
#include "base/hex.h"
#include "tools/keymsd/daemon.h"
#include "tools/keymsd/keymsd.h"
#include "tools/policy/load.h"
#include "tpm/logs/cel.h"

namespace cs::keymsd {
namespace {

struct Record {
  std::uint64_t number = 0;
  std::string event;
  std::string content;
};

struct OneLog {
  std::string name;
  std::vector<std::uint8_t> bytes;
  std::vector<Record> records;
};

Result<std::vector<Record>> read_records(ByteView bytes) {
  std::vector<Record> out;
  if (bytes.empty()) return out;
  CS_TRY(tpm::CelLog log, tpm::CelLog::open(bytes));
  for (tpm::CelRecord record;;) {
    CS_TRY(const bool more, log.next(record));
    if (!more) return out;
    const std::string content = tpm::has_text(record.event)
                                    ? std::string(record.content.begin(), record.content.end())
                                    : hex_encode(record.content);
    out.push_back({record.number, std::string(tpm::name_of(record.event)), content});
  }
}

// Only what is called as a log of ours: it names a file with --save.
Result<OneLog> read_log(const Json& told) {
  OneLog out{text(told, "name"), {}, {}};
  if (out.name != "static" && out.name != "event")
    return Error(ErrorKind::invalid, "keymsd tells of a log '" + out.name + "', which is none");
  const std::string what = "the " + out.name + " log";
  CS_TRY(out.bytes, base64_decode(text(told, "log"), tpm::most_cel_log).context(what));
  CS_TRY(out.records, read_records(out.bytes).context(what));
  return out;
}

void write_text(const Json& told, const OneLog& log, std::ostream& out) {
  out << log.name << " log, " << text(told, "register") << ": "
      << (flag(told, "agrees") ? "its " : "NOT what the register says: " + text(told, "why") + "; ")
      << log.records.size() << " records"
      << (flag(told, "agrees") ? " make the register's value " : ", the register's value is ")
      << text(told, "value") << "\n";
  for (const Record& record : log.records) {
    out << std::right << std::setw(6) << record.number << "  " << std::left << std::setw(20)
        << record.event << " " << record.content << "\n";
  }
}

Json to_json(const Json& told, const OneLog& log) {
  Json json = told;
  json.erase("log");
  json["records"] = Json::array();
  for (const Record& record : log.records) {
    json["records"].push_back(
        {{"number", record.number}, {"event", record.event}, {"content", record.content}});
  }
  return json;
}

Result<bool> tell(const Json& answer, const LogOptions& options, const Console& console) {
  Json report{{"logs", Json::array()}};
  bool agree = true;
  for (const Json& told : list(answer, "logs")) {
    CS_TRY(const OneLog log, read_log(told));
    if (!options.which.empty() && log.name != options.which) continue;
    agree = agree && flag(told, "agrees");
    if (!options.directory.empty())
      CS_CHECK(policy::save(options.directory + "/" + log.name + ".cel", log.bytes));
    if (options.asking.json) {
      report["logs"].push_back(to_json(told, log));
    } else {
      write_text(told, log, console.out);
    }
  }
  if (options.asking.json) print(report, console);
  return agree;
}

}  // namespace

Outcome log(const LogOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  const auto answer = daemon.ask("log");
  if (!answer.ok()) return fail(answer.error(), daemon, console, options.asking.json);
  const auto agree = tell(*answer, options, console);
  if (!agree.ok()) return fail(agree.error(), daemon, console, options.asking.json);
  return *agree ? Outcome::good : Outcome::refused;
}

}  // namespace cs::keymsd
