// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/store/schema.h"

#include <string>

namespace cs::keyms {

namespace {

Result<std::string> tables_of(Database& database) {
  CS_TRY(Query select,
         database.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY name"));
  std::string all;
  for (;;) {
    CS_TRY(const bool row, select.step());
    if (!row) return all;
    for (const int column : {0, 1, 2}) all += std::string(select.text(column)) + ";";
  }
}

Result<void> apply(Database& database, std::span<const char* const> versions, std::size_t from) {
  for (std::size_t version = from; version < versions.size(); ++version) {
    CS_CHECK(database.run_all(versions[version]));
  }
  CS_CHECK(database.run("PRAGMA application_id=" + std::to_string(store_application)));
  return database.run("PRAGMA user_version=" + std::to_string(versions.size()));
}

// A file that somebody else wrote may have triggers and views, too.
Result<void> check_tables(Database& database, std::span<const char* const> versions) {
  CS_TRY(const auto pattern, Database::in_memory());
  CS_CHECK(apply(*pattern, versions, 0));
  CS_TRY(const std::string wanted, tables_of(*pattern));
  CS_TRY(const std::string found, tables_of(database));
  if (found == wanted) return {};
  return Error(ErrorKind::invalid,
               "opening " + database.path() + ": it has other tables than a store of its version");
}

}  // namespace

Result<bool> is_blank(Database& database) {
  CS_TRY(const std::int64_t application, database.number("PRAGMA application_id"));
  CS_TRY(const std::int64_t tables, database.number("SELECT count(*) FROM sqlite_schema"));
  return application == 0 && tables == 0;
}

Result<void> migrate(Database& database, std::span<const char* const> versions) {
  CS_TRY(const bool blank, is_blank(database));
  if (blank) return apply(database, versions, 0);
  CS_TRY(const std::int64_t application, database.number("PRAGMA application_id"));
  CS_TRY(const std::int64_t version, database.number("PRAGMA user_version"));
  if (application != store_application || version < 1) {
    return Error(ErrorKind::invalid, "opening " + database.path() + ": it is no store of keymsd");
  }
  const auto last = static_cast<std::int64_t>(versions.size());
  if (version > last) {
    return Error(ErrorKind::unsupported, "opening " + database.path() + ": it is of version " +
                                             std::to_string(version) + ", known are 1 to " +
                                             std::to_string(last))
        .with_hint("a newer keymsd has written it: install that again");
  }
  const auto from = static_cast<std::size_t>(version);
  CS_CHECK(check_tables(database, versions.first(from)));
  return version == last ? Result<void>() : apply(database, versions, from);
}

}  // namespace cs::keyms
