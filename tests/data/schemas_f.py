"""Databases of a few rows, where almost every column is unique; see ``schemas_a``."""

from __future__ import annotations

import datetime as dt

import numpy as np

from tests.data.schemas_a import CASES, Case, case

__all__ = ["CASES"]

D = dt.date


def dd(*n: int | None) -> list[dt.date | None]:
    """Dates, in days after the first of 2022."""
    return [None if x is None else D(2022, 1, 1) + dt.timedelta(days=x) for x in n]


def ts(*n: int | None) -> list[dt.datetime | None]:
    """Moments, in hours after the first of 2022."""
    return [None if x is None else dt.datetime(2022, 1, 1) + dt.timedelta(hours=x) for x in n]


@case
def university(_: np.random.Generator) -> Case:
    return Case(
        {
            "students": {
                "student_id": [1, 2, 3, 4, 5, 6],
                "first_name": ["Ann", "Bob", "Cy", "Di", "Ed", "Flo"],
                "last_name": list("ABCDEF"),
                "birth_date": dd(-8000, -8100, -8200, -8300, -8050, -8044),
                "enrolled_on": dd(1, 2, 3, 4, 5, 6),
                "advisor_id": [1, 2, 2, 3, 1, 3],
            },
            "professors": {
                "professor_id": [1, 2, 3],
                "name": ["P", "Q", "R"],
                "dept_id": [1, 1, 2],
                "hired_on": dd(-500, -400, -300),
            },
            "departments": {"dept_id": [1, 2], "dept_name": ["Math", "CS"], "budget": [100, 200]},
            "courses": {
                "course_id": ["M1", "M2", "C1"],
                "title": ["Alg", "Geo", "Prog"],
                "credits": [3, 4, 5],
                "dept_id": [1, 1, 2],
            },
            "enrollments": {
                "student_id": [1, 1, 2, 3, 4, 5, 6],
                "course_id": ["M1", "C1", "M1", "M2", "C1", "C1", "M2"],
                "grade": [1.0, 2.0, 1.3, 2.7, 3.0, None, 1.7],
                "enrollment_date": dd(10, 11, 12, 13, 14, 15, 16),
            },
            "exams": {
                "exam_id": [1, 2, 3],
                "course_id": ["M1", "M2", "C1"],
                "exam_date": dd(50, 51, 52),
                "room": [1, 2, 3],
            },
        },
        {
            "students": ("student_id",),
            "professors": ("professor_id",),
            "departments": ("dept_id",),
            "courses": ("course_id",),
            "enrollments": ("student_id", "course_id"),
            "exams": ("exam_id",),
        },
        {
            "students.advisor_id -> professors",
            "professors.dept_id -> departments",
            "courses.dept_id -> departments",
            "enrollments.student_id -> students",
            "enrollments.course_id -> courses",
            "exams.course_id -> courses",
        },
        {"students": "enrolled_on", "professors": "hired_on", "enrollments": "enrollment_date", "exams": "exam_date"},
    )


@case
def library(_: np.random.Generator) -> Case:
    return Case(
        {
            "author": {
                "id": [1, 2, 3],
                "name": ["x", "y", "z"],
                "born": [1900, 1920, 1950],
                "country": ["DE", "US", "US"],
            },
            "book": {
                "isbn": ["978-1", "978-2", "978-3", "978-4"],
                "title": ["a", "b", "c", "d"],
                "author": [1, 2, 2, 3],
                "published": [1950, 1960, 1961, 1999],
                "pages": [100, 250, 300, 90],
            },
            "copy": {
                "copy_no": [1, 2, 3, 4, 5],
                "isbn": ["978-1", "978-1", "978-2", "978-3", "978-4"],
                "acquired": dd(0, 1, 2, 3, 4),
            },
            "member": {"member_no": [11, 12, 13], "name": ["m", "n", "o"], "joined": dd(5, 6, 7)},
            "loan": {
                "loan_no": [1, 2, 3, 4],
                "copy_no": [1, 2, 3, 5],
                "member_no": [11, 12, 12, 13],
                "loaned": dd(10, 11, 12, 13),
                "due": dd(24, 25, 26, 27),
                "returned": dd(20, None, 22, None),
            },
        },
        {"author": ("id",), "book": ("isbn",), "copy": ("copy_no",), "member": ("member_no",), "loan": ("loan_no",)},
        {"book.author -> author", "copy.isbn -> book", "loan.copy_no -> copy", "loan.member_no -> member"},
        {"loan": "loaned", "member": "joined", "copy": "acquired", "book": "published"},
    )


@case
def hospital(_: np.random.Generator) -> Case:
    return Case(
        {
            "patient": {
                "pid": [100, 101, 102, 103],
                "name": list("abcd"),
                "dob": dd(-9000, -8000, -7000, -6000),
                "blood_type": ["A", "B", "A", "O"],
            },
            "physician": {"phys_id": [1, 2], "name": ["e", "f"], "specialty": ["cardio", "ortho"]},
            "ward": {"ward_code": ["W1", "W2"], "beds": [10, 20]},
            "admission": {
                "adm_id": [1, 2, 3, 4, 5],
                "pid": [100, 101, 101, 102, 103],
                "ward_code": ["W1", "W1", "W2", "W2", "W1"],
                "attending_phys_id": [1, 1, 2, 2, 1],
                "admitted_at": ts(1, 20, 300, 400, 500),
                "discharged_at": ts(30, 50, None, 470, None),
            },
            "vitals": {
                "adm_id": [1, 1, 2, 3, 4, 5],
                "measured_at": ts(2, 3, 21, 301, 401, 501),
                "pulse": [60, 70, 80, 66, 77, 88],
                "temp": [36.5, 37.0, 38.1, 36.6, 36.9, 39.0],
            },
            "prescription": {
                "rx": [1, 2, 3],
                "adm_id": [1, 3, 4],
                "drug": ["aspirin", "ibu", "aspirin"],
                "dose_mg": [100, 200, 100],
                "prescribed_at": ts(4, 302, 402),
            },
        },
        {
            "patient": ("pid",),
            "physician": ("phys_id",),
            "ward": ("ward_code",),
            "admission": ("adm_id",),
            "prescription": ("rx",),
        },
        {
            "admission.pid -> patient",
            "admission.ward_code -> ward",
            "admission.attending_phys_id -> physician",
            "vitals.adm_id -> admission",
            "prescription.adm_id -> admission",
        },
        {"admission": ("admitted_at", "discharged_at"), "vitals": "measured_at", "prescription": "prescribed_at"},
    )


@case
def airline(_: np.random.Generator) -> Case:
    return Case(
        {
            "airports": {
                "code": ["FRA", "JFK", "SFO", "CDG"],
                "city": ["Frankfurt", "NYC", "SF", "Paris"],
                "tz": [1, -5, -8, 1],
            },
            "aircraft": {"tail_no": ["D-A", "D-B", "N-1"], "model": ["A320", "A350", "B777"], "seats": [150, 300, 350]},
            "flights": {
                "flight_id": [1, 2, 3, 4],
                "from_airport": ["FRA", "JFK", "SFO", "FRA"],
                "to_airport": ["JFK", "SFO", "JFK", "CDG"],
                "tail_no": ["D-B", "N-1", "N-1", "D-A"],
                "scheduled_departure": ts(1, 10, 20, 30),
                "actual_departure": ts(2, 11, 20, 31),
                "arrival": ts(9, 16, 26, 33),
            },
            "passengers": {
                "passenger_id": [1, 2, 3],
                "name": ["a", "b", "c"],
                "frequent_flyer_no": [None, "FF1", "FF2"],
            },
            "bookings": {
                "booking_ref": ["AAA", "BBB", "CCC"],
                "passenger_id": [1, 2, 3],
                "booked_at": ts(0, 1, 2),
                "total": [100.0, 200.0, 300.0],
            },
            "tickets": {
                "ticket_no": [1, 2, 3, 4],
                "booking_ref": ["AAA", "BBB", "BBB", "CCC"],
                "flight_id": [1, 2, 3, 4],
                "seat": ["1A", "2B", "3C", "4D"],
                "fare": [50.0, 60.0, 70.0, 80.0],
            },
        },
        {
            "airports": ("code",),
            "aircraft": ("tail_no",),
            "flights": ("flight_id",),
            "passengers": ("passenger_id",),
            "bookings": ("booking_ref",),
            "tickets": ("ticket_no",),
        },
        {
            "flights.from_airport -> airports",
            "flights.to_airport -> airports",
            "flights.tail_no -> aircraft",
            "bookings.passenger_id -> passengers",
            "tickets.booking_ref -> bookings",
            "tickets.flight_id -> flights",
        },
        {"flights": "scheduled_departure", "bookings": "booked_at"},
    )


@case
def bank(_: np.random.Generator) -> Case:
    return Case(
        {
            "branches": {"branch_id": [1, 2], "city": ["X", "Y"], "opened": dd(-3000, -2000)},
            "customers": {
                "cust_no": ["C1", "C2", "C3"],
                "name": ["a", "b", "c"],
                "branch_id": [1, 1, 2],
                "since": dd(0, 1, 2),
            },
            "accounts": {
                "iban": ["DE1", "DE2", "DE3", "DE4"],
                "cust_no": ["C1", "C2", "C2", "C3"],
                "kind": ["giro", "giro", "savings", "giro"],
                "balance": [1.5, 2.5, 3.5, 4.0],
                "opened_on": dd(3, 4, 5, 6),
                "closed_on": dd(None, None, 100, None),
            },
            "transfers": {
                "id": [1, 2, 3, 4, 5],
                "src_iban": ["DE1", "DE1", "DE2", "DE3", "DE4"],
                "dst_iban": ["DE2", "DE3", "DE1", "DE1", "DE2"],
                "amount": [10.0, 20.0, 5.0, 7.0, 8.0],
                "booked": ts(1, 2, 3, 4, 5),
                "value_date": dd(7, 7, 7, 8, 8),
            },
            "rates": {
                "product": ["giro", "savings"],
                "valid_from": dd(0, 0),
                "valid_to": [D(9999, 12, 31), D(9999, 12, 31)],
                "rate": [0.1, 1.5],
            },
            "cards": {
                "pan": ["4111", "4222", "4333"],
                "iban": ["DE1", "DE2", "DE4"],
                "issued": dd(9, 10, 11),
                "expires": dd(900, 901, 902),
            },
        },
        {
            "branches": ("branch_id",),
            "customers": ("cust_no",),
            "accounts": ("iban",),
            "transfers": ("id",),
            "cards": ("pan",),
        },
        {
            "customers.branch_id -> branches",
            "accounts.cust_no -> customers",
            "transfers.src_iban -> accounts",
            "transfers.dst_iban -> accounts",
            "cards.iban -> accounts",
        },
        {
            "branches": "opened",
            "customers": "since",
            "accounts": ("opened_on", "closed_on"),
            "transfers": "booked",
            "cards": "issued",
            "rates": ("valid_from", "valid_to"),
        },
    )


@case
def forum(_: np.random.Generator) -> Case:
    return Case(
        {
            "people": {
                "id": [1, 2, 3, 4],
                "handle": ["a", "b", "c", "d"],
                "joined_at": ts(0, 1, 2, 3),
                "karma": [5, 1, 2, 9],
            },
            "topics": {
                "id": [1, 2, 3],
                "slug": ["x", "y", "z"],
                "starter": [1, 2, 2],
                "opened_at": ts(5, 6, 7),
                "pinned": [0, 1, 0],
            },
            "posts": {
                "id": [1, 2, 3, 4, 5],
                "topic": [1, 1, 2, 3, 3],
                "author": [1, 2, 3, 4, 1],
                "reply_to": [None, 1, None, None, 4],
                "posted_at": ts(8, 9, 10, 11, 12),
                "edited_at": ts(None, 20, None, None, 30),
                "likes": [1, 2, 3, 1, 2],
            },
            "likes": {"person": [1, 2, 3], "post": [2, 2, 4], "liked_at": ts(13, 14, 15)},
            "follows": {"follower": [1, 1, 2], "followee": [2, 3, 3], "since": ts(3, 4, 5)},
            "tags": {"tag": ["sql", "py"], "created": ts(0, 1)},
            "topic_tags": {"topic_id": [1, 1, 2], "tag": ["sql", "py", "py"]},
        },
        {
            "people": ("id",),
            "topics": ("id",),
            "posts": ("id",),
            "tags": ("tag",),
            "likes": ("person", "post"),
            "follows": ("follower", "followee"),
            "topic_tags": ("topic_id", "tag"),
        },
        {
            "topics.starter -> people",
            "posts.topic -> topics",
            "posts.author -> people",
            "posts.reply_to -> posts",
            "likes.person -> people",
            "likes.post -> posts",
            "follows.follower -> people",
            "follows.followee -> people",
            "topic_tags.topic_id -> topics",
            "topic_tags.tag -> tags",
        },
        {
            "people": "joined_at",
            "topics": "opened_at",
            "posts": "posted_at",
            "likes": "liked_at",
            "follows": "since",
            "tags": "created",
        },
    )
