// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/control.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/unix_socket.h"
#include "tests/support/scratch.h"
#include "tests/support/unwrap.h"

namespace cs::keyms {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// A server that turns in a thread of its own.
class Control : public ::testing::Test {
 protected:
  Control() {
    server = test::get(ControlServer::open(
        clock, path,
        [this](const ControlServer::Request& request, const json& arguments,
               const ControlServer::Reply& reply) {
          if (request.verb == "echo") return reply(json{{"said", arguments}});
          if (request.verb == "refuse")
            return reply(Error(ErrorKind::denied, "not you").with_hint("ask somebody else"));
          if (request.verb == "publish") server->publish({{"event", arguments.value("text", "")}});
          if (request.verb == "who") return reply(json{{"change", request.may_change}});
          if (request.verb == "never") return;
          reply(json::object());
        }));
    loop.add(*server);
    thread = std::thread([this] {
      while (!stop) {
        if (!loop.turn().ok()) return;
      }
    });
  }
  void TearDown() override {
    stop = true;
    static_cast<void>(raw());  // wakes it
    thread.join();
  }

  UniqueFd raw() const {
    const UnixAddress address = test::get(unix_address(path));
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(::connect(fd.get(), address.get(), UnixAddress::size), 0);
    return fd;
  }
  // What comes back for these bytes.
  json after(const std::string& bytes) const {
    const UniqueFd fd = raw();
    EXPECT_GT(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
    std::string in(65536, '\0');
    const ssize_t got = ::recv(fd.get(), in.data(), in.size(), 0);
    return got <= 0 ? json() : json::parse(in.substr(0, static_cast<std::size_t>(got)));
  }

  SystemClock clock;
  test::Scratch scratch = test::get(test::Scratch::create());
  std::string path = scratch.file("control");
  std::unique_ptr<ControlServer> server;
  Loop loop{clock};
  std::atomic<bool> stop{false};
  std::thread thread;
};

TEST_F(Control, AnswersAndRefusesInTheDaemonsWords) {
  const json said = test::get(ask_daemon(path, "echo", {{"a", 1}}, 5s));
  EXPECT_EQ(said, (json{{"said", {{"a", 1}}}}));
  const auto refused = ask_daemon(path, "refuse", json::object(), 5s);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  EXPECT_EQ(refused.error().message(), "not you; ask somebody else");
  EXPECT_TRUE(test::get(ask_daemon(path, "who", json::object(), 5s))["change"].get<bool>());
}

TEST_F(Control, WhereNobodyListensItSaysWhatToDo) {
  const auto none = ask_daemon(path + "x", "echo", json::object(), 1s);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind(), ErrorKind::not_found);
  EXPECT_NE(none.error().message().find("systemctl start keymsd"), std::string::npos);
  const auto late = ask_daemon(path, "never", json::object(), 1s);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().kind(), ErrorKind::timed_out);
  bool refused = true;
  EXPECT_FALSE(ask_daemon(path + "x", "echo", json::object(), 1s, &refused).ok());
  EXPECT_FALSE(refused);
}

TEST_F(Control, RefusesWhatIsNoRequest) {
  for (const char* bad : {"x\n", "[]\n", "{}\n", "{\"verb\":1}\n", "\n", "{\"verb\":\"echo\"\n",
                          "\xff\xfe\n", "{\"verb\":\"echo\",\"arguments\":[],\"version\":1}\n"}) {
    const json answer = after(bad);
    EXPECT_FALSE(answer.value("ok", true)) << bad;
  }
  const json other = after("{\"version\":2,\"verb\":\"echo\"}\n");
  EXPECT_EQ(other["error"]["kind"], "unsupported");
  EXPECT_TRUE(test::get(ask_daemon(path, "echo", json::object(), 5s)).contains("said"));
}

// Whatever follows such a request down, as a copy of it does, ends where the stack does.
TEST_F(Control, ARequestThatIsNestedIsRefused) {
  const std::string head = R"({"version":1,"verb":"echo","arguments":{"a":)";
  for (const std::size_t depth : {ControlServer::most_depth - 1, std::size_t{400000}}) {
    const json answer =
        after(head + std::string(depth, '[') + "1" + std::string(depth, ']') + "}}\n");
    EXPECT_EQ(answer["error"]["kind"], "limit") << depth;
  }
  const std::size_t fine = ControlServer::most_depth - 2;
  const json answer = after(head + std::string(fine, '[') + "1" + std::string(fine, ']') + "}}\n");
  EXPECT_TRUE(answer.value("ok", false)) << answer;
}

TEST_F(Control, ARequestThatIsTooLongIsRefused) {
  const UniqueFd fd = raw();
  const std::string much(1U << 16U, 'x');
  for (int i = 0; i < 40; ++i) {
    if (::send(fd.get(), much.data(), much.size(), MSG_NOSIGNAL) < 0) break;
  }
  EXPECT_TRUE(test::get(ask_daemon(path, "echo", json::object(), 5s)).contains("said"));
}

TEST_F(Control, FollowersHearEventsUntilTheyHaveEnough) {
  std::vector<std::string> heard;
  // Whoever has asked to follow hears all that is told from then on.
  const auto ask = [&]() -> Result<void> {
    for (const char* text : {"drift", "healed", "key"}) {
      CS_TRY([[maybe_unused]] const json done, ask_daemon(path, "publish", {{"text", text}}, 5s));
    }
    return {};
  };
  const auto hear = [&](const json& event) {
    heard.push_back(event["event"].get<std::string>());
    return heard.size() < 2;
  };
  EXPECT_TRUE(follow_daemon(path, hear, ask).ok());
  EXPECT_EQ(heard, (std::vector<std::string>{"drift", "healed"}));
  const auto failed = [] { return Result<void>(Error(ErrorKind::io, "no")); };
  EXPECT_FALSE(follow_daemon(path, hear, failed).ok());
}

TEST_F(Control, ConnectionsAreBounded) {
  std::vector<UniqueFd> many;
  for (std::size_t i = 0; i < 3 * ControlServer::most_connections; ++i) many.push_back(raw());
  bool refused = false;
  const auto asked = ask_daemon(path, "echo", json::object(), 5s, &refused);
  ASSERT_FALSE(asked.ok());
  EXPECT_TRUE(refused);
  EXPECT_EQ(asked.error().kind(), ErrorKind::limit);
  EXPECT_EQ(asked.error().message(), "keymsd serves 32 connections, and no more");
  // Also where it has hung up while the request was on its way.
  const json long_one{{"a", std::string(ControlServer::most_request - 1000, 'x')}};
  EXPECT_EQ(ask_daemon(path, "echo", long_one, 5s).error().kind(), ErrorKind::limit);
  const auto followed = follow_daemon(path, [](const json&) { return true; });
  ASSERT_FALSE(followed.ok());
  EXPECT_EQ(followed.error().kind(), ErrorKind::limit);
  many.clear();
  bool served = false;
  for (int i = 0; i < 1000 && !served; ++i)
    served = ask_daemon(path, "echo", json::object(), 5s).ok();
  EXPECT_TRUE(served);
}

}  // namespace
}  // namespace cs::keyms
