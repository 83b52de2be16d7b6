// group: a member until standard input ends.
#include <iostream>
#include <limits>
#include <thread>

#include "commands.h"
#include "member.h"

namespace client {

void Group(Cluster& cluster, const Flags& flags) {
  const Stopwatch stopwatch;
  Member member(cluster, flags.Text("topic"), flags.Text("group"));
  std::thread([close = member.Closer()] {
    std::cin.ignore(std::numeric_limits<std::streamsize>::max());
    close();
  }).detach();  // Nothing ends a read of standard input.
  member.Run();
  SayConsumed("group", member.records(), stopwatch.Seconds());
}

}  // namespace client
