// SPDX-License-Identifier: GPL-3.0-or-later
// The tier's own ground: commands end in time, and nothing is left behind, however a test ends.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "tests/netns/environment.h"
#include "tests/support/unwrap.h"

namespace cs::test {
namespace {

using std::chrono::milliseconds;

// Processes whose command line has `word` in it.
int count_processes(const std::string& word) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    if (line.find(word) != std::string::npos && line.find("sleep") == 0) ++count;
  }
  return count;
}

bool becomes(int wanted, const std::string& word) {
  for (int turn = 0; turn < 500; ++turn) {
    if (count_processes(word) == wanted) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

// A number of seconds no other test's sleep has.
std::string unique_seconds(int which) {
  return "31415" + std::to_string(which) + "." + std::to_string(getpid());
}

TEST(Command, TellsExitCodeOutputAndInput) {
  const auto done = get(run({.argv = {"sh", "-c", "cat; echo err >&2; exit 7"}, .input = "in\n"}));
  EXPECT_EQ(done.exit_code, 7);
  EXPECT_EQ(done.output, "in\nerr\n");
  EXPECT_FALSE(done.timed_out);
}

TEST(Command, TellsASignalAndAMissingProgram) {
  Process process = get(Process::start({.argv = {"sleep", "60"}}));
  get(process.signal(SIGKILL));
  EXPECT_EQ(get(process.wait(kPatience)).exit_code, 128 + SIGKILL);
  const auto missing = get(run({.argv = {"no-such-program"}}));
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_NE(missing.output.find("no-such-program: No such file"), std::string::npos);
}

// So its `kill 0` and `kill -1` reach nothing of ours. Looked up, not tried: a broken one would end
// every process of the machine.
TEST(Command, IsAnInitInASessionOfItsOwn) {
  const auto done = get(run({.argv = {"sh", "-c", "echo $$; cut -d' ' -f5,6 /proc/self/stat"}}));
  std::istringstream words(done.output);
  pid_t own_number = 0;
  pid_t group = 0;
  pid_t session = 0;
  words >> own_number >> group >> session;
  EXPECT_EQ(own_number, 1);
  EXPECT_GT(group, 1);  // numbers as /proc shows them: outside
  EXPECT_NE(group, getpgrp());
  EXPECT_NE(session, getsid(0));
}

TEST(Command, IsEndedInTimeWithAllItStarted) {
  const std::string seconds = unique_seconds(1);
  const auto started = std::chrono::steady_clock::now();
  const auto done =
      get(run({.argv = {"sh", "-c", "setsid sleep " + seconds + " & sleep " + seconds}},
              milliseconds(300)));
  EXPECT_TRUE(done.timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - started, kPatience);
  EXPECT_TRUE(becomes(0, seconds));
}

TEST(Command, EndsWhenItsProcessObjectGoes) {
  const std::string seconds = unique_seconds(2);
  {
    const Process process = get(Process::start({.argv = {"sleep", seconds}}));
    EXPECT_TRUE(becomes(1, seconds));
  }
  EXPECT_EQ(count_processes(seconds), 0);
}

TEST(Command, EndsWhenTheTestIsKilled) {
  for (const int signal : {SIGKILL, SIGTERM, SIGINT}) {
    const std::string seconds = unique_seconds(10 + signal);
    const pid_t test = fork();
    ASSERT_GE(test, 0);  // kill() below takes -1 for everybody
    if (test == 0) {
      const auto netns = Netns::create();
      const auto process = netns->start({"sleep", seconds});
      if (process.ok()) pause();
      _exit(0);
    }
    EXPECT_TRUE(becomes(1, seconds));
    EXPECT_EQ(kill(test, signal), 0);
    int status = 0;
    EXPECT_EQ(waitpid(test, &status, 0), test);
    EXPECT_TRUE(becomes(0, seconds)) << "signal " << signal;
  }
}

TEST(Namespace, IsApartAndHasNoNameOnDisk) {
  const Netns netns = get(Netns::create());
  const auto links = get(netns.command({"ip", "-o", "link"}));
  EXPECT_NE(links.output.find("lo: <LOOPBACK,UP"), std::string::npos);
  EXPECT_EQ(links.output.find("right"), std::string::npos);
  const auto inode = [](const std::string& path) { return std::filesystem::read_symlink(path); };
  const auto inside = netns.run([&] { return inode("/proc/thread-self/ns/net"); });
  EXPECT_EQ(inside, inode(netns.path()));
  EXPECT_NE(inside, inode("/proc/self/ns/net"));
  std::ifstream mounts("/proc/self/mountinfo");
  const std::string all{std::istreambuf_iterator<char>(mounts), {}};
  EXPECT_EQ(all.find(inside.string()), std::string::npos);
}

TEST(Namespace, CableCarriesBothFamiliesAtOnce) {
  const Pair pair = get(make_pair());
  for (const char* address : {kAddressesB[0], kAddressesB[1]}) {
    EXPECT_EQ(get(pair.a.command({"ping", "-n", "-c", "1", "-W", "3", address})).exit_code, 0);
  }
}

TEST(Namespace, AFailingCommandIsToldInWords) {
  const Netns netns = get(Netns::create());
  const auto done = netns.must({"ip", "link", "set", "nosuch", "up"});
  ASSERT_FALSE(done.ok());
  EXPECT_NE(done.error().message().find("ip link set nosuch up: exit code 1: Cannot find device"),
            std::string::npos)
      << done.error().message();
}

}  // namespace
}  // namespace cs::test
