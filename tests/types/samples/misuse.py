"""Mistakes that a type checker must refuse, each marked line of them."""

from edge.api import EdgeSession
from edge_core.plugin import Namespace, OpenSession
from edge_core.records import Record


class Plate(Record):
    name: str


class Shelf(Record):
    name: str


class Lab(Namespace):
    namespace = "lab"
    plugin_api = 1

    def plates(self) -> list[Plate]:
        return list(self.http.items("/plates", make=Shelf.from_answer))  # error

    def first_page(self) -> list[Plate]:
        return next(self.http.items("/plates", make=Shelf.from_answer).by_page()).items  # error

    def requests(self) -> None:
        self.http.items("/plates", mak=Plate.from_answer)  # error
        self.http.stream("GET", "/plates", hedders={})  # error
        self.http.stream("GET", "/plates", timeout="soon")  # error
        self.http.fetch("GET", "/plates", json={})  # error
        self.http.stream_or_redirect("/content", follow=True)  # error
        self.http.signed("GET", "v1/content/k", params={})  # error
        self.http.fetch_signed("PUT", "v1/content/k", body="text")  # error
        self.http.route("https://example.org")["proxy"]  # error


def command(open_session: OpenSession) -> None:
    with open_session() as edge:
        edge.serach("plate")  # error
        edge.fles.list()  # error
        edge.get(Lab).plats()  # error
        print(edge.whoami().user_nam)  # error
    open_session("default")  # error


edge = EdgeSession()
edge.search("plate", kind="filee")  # error
print(edge.search("plate", kind="file")[0].nam)  # error
